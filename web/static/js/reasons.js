// Why an answer did not help: what is stored, and what people read.
export const REASONS = { wrong: "It is wrong", incomplete: "Something is missing", outdated: "It is out of date", off_topic: "Not what I asked" };
