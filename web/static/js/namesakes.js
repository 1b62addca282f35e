// A file whose name a document of the collection has already: is it a newer one of the same, or another?
import { call, withQuery } from "/static/js/ui.js";

const HASHED = 64 * 2 ** 20; // bytes that are worth reading here before sending them

async function named(collection, name) {
  const { data } = await call("GET", withQuery("/documents", { collection, q: name.slice(0, 200), limit: 200 }));
  return data.find((document) => document.external_id.normalize() === name.normalize());
}

async function same(file, document) {
  if (file.size !== document.size) return false;
  if (!crypto.subtle || file.size > HASHED) return true; // over plain http browsers hash nothing: most likely it is
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") === document.sha256;
}

/** The document that this file would become a new revision of; null: none, the same bytes, or it cannot be told. */
export async function replacedBy(file, collection) {
  try {
    const found = await named(collection, file.name);
    return found && !(await same(file, found)) ? found : null;
  } catch { return null; } // what became of it is said when it is sent
}

/** `invoice (2).pdf`, or the next number that is free. */
export async function freeName(name, collection) {
  const dot = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
  for (let n = 2; ; n += 1) {
    const tried = `${name.slice(0, dot)} (${n})${name.slice(dot)}`;
    if (!(await named(collection, tried))) return tried;
  }
}
