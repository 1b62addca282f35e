"""People: accounts, passwords (argon2id), and the one-time link that makes the first admin."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kb.access.principals import ROLES, person
from kb.errors import Conflict, FieldError, Invalid, NotFound, Unauthenticated
from kb.store import audit
from kb.store.db import Database
from kb.store.scope import SYSTEM, need
from kb.store.tables import SessionRow, SetupTokenRow, UserRow
from kb.store.values import aware, clean, new_id, now
from kb.types import Principal, Role

EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
SHORTEST, LONGEST = 10, 256
LINK_HOURS = 24

# OWASP ASVS 5.0, appendix C: 46 MiB, one pass, one lane
_hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# a flood of sign-ins must not take the machine's memory: two hashes at a time
_hashing = threading.BoundedSemaphore(2)
# checked for unknown people, so that they take as long as known ones
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))


@dataclass(frozen=True)
class User:
    """An account, as admins see it."""

    id: str
    email: str
    name: str
    role: Role
    disabled: bool
    created_at: datetime


class Users:
    """Accounts. Methods that change them take the acting `principal` (the CLI's is SYSTEM) and need admin."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def create(
        self, email: str, name: str, role: Role, password: str, *, principal: Principal = SYSTEM
    ) -> User:
        """A new account. Conflict when the address is taken; Invalid for a bad field."""
        need(principal, "admin")
        row = _new(email, name, role, password)
        try:
            with self.db.write() as session:
                session.add(row)
                audit.record(session, principal, "user.create", row.id, email=row.email, role=role)
        except IntegrityError:
            raise Conflict(f"There is an account for {row.email} already.", slug="email-taken") from None
        return _as_user(row)

    def verify(self, email: str, password: str) -> Principal:
        """Sign in. Unauthenticated for unknown, wrong and disabled alike, after the same work."""
        with self.db.read() as session:
            row = session.scalars(select(UserRow).where(UserRow.email == email.strip().lower())).first()
        right = _check(row.password_hash if row else _NOBODY, password)
        if row is None or not right or row.disabled:
            raise Unauthenticated("The e-mail address or the password is wrong.")
        if _hasher.check_needs_rehash(row.password_hash):
            hashed = _hash(password)
            with self.db.write() as session:
                unchanged = (UserRow.id == row.id, UserRow.password_hash == row.password_hash)
                session.execute(update(UserRow).where(*unchanged).values(password_hash=hashed))
        return _principal(row)

    def find(self, email: str) -> User:
        """The account with an address."""
        with self.db.read() as session:
            row = session.scalars(select(UserRow).where(UserRow.email == email.strip().lower())).first()
        if row is None:
            raise NotFound(f"There is no account for {email!r}.")
        return _as_user(row)

    def list(self, *, principal: Principal = SYSTEM) -> list[User]:
        """All accounts, oldest first."""
        need(principal, "admin")
        with self.db.read() as session:
            rows = session.scalars(select(UserRow).order_by(UserRow.created_at, UserRow.id)).all()
        return [_as_user(row) for row in rows]

    def disable(self, user_id: str, *, principal: Principal = SYSTEM, disabled: bool = True) -> None:
        """Close an account and end its sessions in the same transaction; disabled=False opens it again.

        Conflict for the last active admin: nobody could open the door again.
        """
        need(principal, "admin")
        with self.db.write() as session:
            row = _get(session, user_id)
            if disabled:
                _keep_an_admin(session, row)
                session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))
            row.disabled = disabled
            audit.record(session, principal, "user.disable" if disabled else "user.enable", user_id)

    def set_role(self, user_id: str, role: Role, *, principal: Principal = SYSTEM) -> None:
        """Change what somebody may do, from the next request on."""
        need(principal, "admin")
        _known(role)
        with self.db.write() as session:
            row = _get(session, user_id)
            if role != "admin":
                _keep_an_admin(session, row)
            row.role = role
            audit.record(session, principal, "user.role", user_id, role=role)

    def set_password(self, user_id: str, password: str, *, principal: Principal = SYSTEM) -> None:
        """Set a password, one's own or, as admin, another's; ends the account's sessions."""
        if not (principal.kind == "user" and principal.id == user_id):
            need(principal, "admin")
        hashed = _hash(_acceptable(password))
        with self.db.write() as session:
            _get(session, user_id).password_hash = hashed
            session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))
            audit.record(session, principal, "user.password", user_id)

    def first_admin_token(self) -> str | None:
        """A fresh one-time token for the set-up link; None once there is an admin. Ends earlier ones."""
        with self.db.write() as session:
            if _admins(session):
                return None
            session.execute(delete(SetupTokenRow).where(SetupTokenRow.purpose == "first_admin"))
            token = secrets.token_urlsafe(32)
            session.add(
                SetupTokenRow(
                    token_hash=token_hash(token),
                    purpose="first_admin",
                    created_at=now(),
                    expires_at=now() + timedelta(hours=LINK_HOURS),
                )
            )
            return token

    def setup_open(self, token: str) -> bool:
        """Whether a set-up link would still work; for showing its form or a plain word instead."""
        with self.db.read() as session:
            return _open_link(session, token) is not None and not _admins(session)

    def redeem(self, token: str, email: str, name: str, password: str) -> Principal:
        """Create the first admin. Unauthenticated: the link is unknown, used or too old. Works once."""
        refused = Unauthenticated("This set-up link was used or is too old. Restart kb for a new one.")
        with self.db.read() as session:
            if _open_link(session, token) is None:
                raise refused
        row = _new(email, name, "admin", password)
        with self.db.write() as session:
            link = _open_link(session, token)
            if link is None or _admins(session):
                raise refused
            link.used_at = now()
            session.add(row)
            session.flush()
            audit.record(session, _principal(row), "setup.redeem", row.id, email=row.email)
        return _principal(row)


def token_hash(token: str) -> str:
    """How random tokens are stored: SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _open_link(session: Session, token: str) -> SetupTokenRow | None:
    row = session.get(SetupTokenRow, token_hash(token))
    return None if row is None or row.used_at is not None or row.expires_at <= now() else row


def _new(email: str, name: str, role: Role, password: str) -> UserRow:
    email = clean(email).strip().lower()
    if not EMAIL.fullmatch(email):
        raise Invalid(
            f"{email!r} is not an e-mail address.", errors=(FieldError("/email", "not an address"),)
        )
    _known(role)
    return UserRow(
        id=new_id("usr"),
        email=email,
        name=clean(name).strip()[:200] or email,
        role=role,
        password_hash=_hash(_acceptable(password)),
        created_at=now(),
    )


def _known(role: str) -> None:
    if role not in ROLES:
        raise Invalid(f"{role!r} is no role: {', '.join(ROLES)}.", errors=(FieldError("/role", "unknown"),))


def _acceptable(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid(
            f"The password must have {SHORTEST} to {LONGEST} characters.",
            errors=(FieldError("/password", f"{SHORTEST} to {LONGEST} characters"),),
        )
    return password


def _hash(password: str) -> str:
    with _hashing:
        return _hasher.hash(password)


def _check(hashed: str, password: str) -> bool:
    try:
        with _hashing:
            return _hasher.verify(hashed, password[:LONGEST]) and len(password) <= LONGEST
    except (VerificationError, InvalidHashError):
        return False


def _get(session: Session, user_id: str) -> UserRow:
    row = session.get(UserRow, user_id)
    if row is None:
        raise NotFound(f"There is no account {user_id!r}.")
    return row


def _admins(session: Session, but: str = "") -> int:
    query = select(func.count()).where(
        UserRow.role == "admin", UserRow.disabled.is_(False), UserRow.id != but
    )
    return session.scalar(query) or 0


def _keep_an_admin(session: Session, row: UserRow) -> None:
    if row.role == "admin" and not row.disabled and not _admins(session, but=row.id):
        raise Conflict("This is the last active admin. Make somebody else admin first.", slug="last-admin")


def _principal(row: UserRow) -> Principal:
    role: Role = row.role if row.role in ROLES else "reader"
    return person(row.id, row.name, role)


def _as_user(row: UserRow) -> User:
    return User(row.id, row.email, row.name, _principal(row).role, bool(row.disabled), aware(row.created_at))
