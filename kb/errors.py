"""What can go wrong, and the words people read.

KbError                  the base: `detail` says what is wrong and the way out
├── Invalid              422  a field or argument is wrong (`errors` names which)
├── Unauthenticated      401  no or unknown credentials
├── Forbidden            403  a key without the scope; never used for objects (those are NotFound)
├── NotFound             404  missing, or not yours to see: the same answer for both
├── Conflict             409  the state does not allow it; the same idempotency key, another body
├── TooLarge             413  a document or question beyond its limit
├── UnsupportedType      415  a kind of file kb cannot read
├── RateLimited          429  too many requests (`retry_after` seconds)
├── Busy                 503  locked, full or overloaded for now (`retry_after` seconds)
├── DiskFull             507  no space left; nothing acknowledged was lost
├── Unavailable          503  a helper process (Tika, the model) does not answer
└── Broken               500  kb's own state is damaged: `kb doctor` says what
    ├── TooOld           500  it was written by a newer kb
    └── Unwritable       500  it is not this user's to write to
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One bad field of a request: a JSON pointer and what is wrong with it."""

    pointer: str
    detail: str


class KbError(Exception):
    """Anything kb reports to people. `slug` becomes the problem type `/problems/<slug>`."""

    status = 500
    slug = "internal"
    title = "Something went wrong"

    def __init__(
        self,
        detail: str,
        *,
        slug: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after
        if slug is not None:
            self.slug = slug


class Invalid(KbError):
    """A field or argument is wrong."""

    status, slug, title = 422, "invalid-request", "The request is not valid"


class Unauthenticated(KbError):
    """No or unknown credentials."""

    status, slug, title = 401, "unauthenticated", "Please sign in"


class Forbidden(KbError):
    """Known, but without the scope or role that this needs."""

    status, slug, title = 403, "forbidden", "This is not allowed with these credentials"


class NotFound(KbError):
    """Missing, or not yours to see."""

    status, slug, title = 404, "not-found", "There is no such thing here"


class Conflict(KbError):
    """The present state does not allow it."""

    status, slug, title = 409, "conflict", "This conflicts with what is already there"


class TooLarge(KbError):
    """Beyond a limit."""

    status, slug, title = 413, "too-large", "This is too large"


class UnsupportedType(KbError):
    """A kind of file kb cannot read."""

    status, slug, title = 415, "unsupported-type", "This kind of file cannot be read"


class RateLimited(KbError):
    """Too many requests."""

    status, slug, title = 429, "rate-limited", "Too many requests"


class Busy(KbError):
    """Locked, full or overloaded for now."""

    status, slug, title = 503, "busy", "Busy, please try again"


class DiskFull(KbError):
    """No space left on the device."""

    status, slug, title = 507, "disk-full", "The disk is full"


class Unavailable(KbError):
    """A helper process does not answer."""

    status, slug, title = 503, "unavailable", "A part of the system does not answer"


class Broken(KbError):
    """kb's own state is damaged."""

    status, slug, title = 500, "broken-state", "The knowledge base is damaged"


class TooOld(Broken):
    """This kb does not know the state that a newer one has written. Nothing is damaged."""

    title = "This kb is older than its data"


class Unwritable(Broken):
    """The state belongs to another user, or lies on a disk mounted read-only. Nothing is damaged."""

    title = "kb cannot write to its data"
