"""The entrance: who gets in by a password, a token or a cookie, and how often they may try."""

from collections.abc import Mapping
from typing import Final, NoReturn

from anyio import CapacityLimiter, to_thread

from pacsnode.access.audit import Audit
from pacsnode.access.logins import Login, Logins
from pacsnode.access.pace import Pace
from pacsnode.access.passwords import Passwords
from pacsnode.access.person import Person, with_read
from pacsnode.access.tokens import Tokens
from pacsnode.web_section import Web

HASHES_AT_A_TIME: Final = 2  # each takes tens of megabytes
LONGEST_NAME: Final = 64


class NotAdmitted(Exception):
    """A login that is refused; `wait_s` says for how long any more would be."""

    def __init__(self, sentence: str, wait_s: int = 0) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s


class Entrance:
    """Admits persons; everything it remembers ends with the process."""

    def __init__(self, web: Web, audit: Audit) -> None:
        self.web = web
        self.audit = audit
        self.is_secure = web.certificate is not None or web.behind_proxy
        # a browser takes a __Host- cookie from this very host alone, over TLS
        self.cookie = "__Host-pacsnode" if self.is_secure else "pacsnode"
        self._roles = {user.name: with_read(user.roles) for user in web.users}
        self._passwords = Passwords(web.users)
        self._tokens = Tokens(web.tokens)
        self._logins = Logins(web.login_idle_s, web.login_s)
        self._of_names = Pace(web.login_tries, web.login_pause_s)
        self._of_addresses = Pace(web.login_tries_per_address, web.login_pause_s)
        self._limit: CapacityLimiter | None = None

    async def by_password(self, name: str, password: str, address: str) -> Person:
        """Who this is. Raises NotAdmitted, in the same words whatever is wrong."""
        name = name.strip()[:LONGEST_NAME]
        self._count(name, address)
        if self._limit is None:  # made inside the loop that it serves
            self._limit = CapacityLimiter(HASHES_AT_A_TIME)
        matched = await to_thread.run_sync(
            self._passwords.match, name, password, limiter=self._limit
        )
        if not matched:
            self.refuse("The name or the password is wrong", self._tried(name), address)
        self._of_names.forget(name.casefold())
        return Person(name, self._roles[name], "password")

    def by_token(self, token: str, address: str) -> Person:
        """Whose bearer token this is. Raises NotAdmitted."""
        wait_s = self._of_addresses.wait_s(address)
        person = self._tokens.owner(token)
        if person is None or wait_s:
            unknown = Person("unknown", frozenset(), "token")
            if not wait_s:
                self._of_addresses.refused(address)
            self.refuse("This token opens nothing here", unknown, address, wait_s)
        return person

    def by_cookie(self, cookies: Mapping[str, str], *, attended: bool = True) -> Login | None:
        """The login of a browser; a request that no person made does not prolong it."""
        key = cookies.get(self.cookie)
        return self._logins.find(key, attended=attended) if key else None

    def admit(self, person: Person, cookies: Mapping[str, str], address: str) -> str:
        """Begin a login; gives the key that the cookie holds."""
        key = self._logins.begin(person, before=cookies.get(self.cookie, ""))
        self._of_addresses.take_back(address)
        self.audit.write("login", person, address=address)
        return key

    def leave(self, person: Person, cookies: Mapping[str, str], address: str) -> None:
        """End the login of a browser."""
        self._logins.end(cookies.get(self.cookie, ""))
        self.audit.write("logout", person, address=address)

    def pause(self, address: str) -> None:
        """Count a try of this address. Raises NotAdmitted where there were too many."""
        if wait_s := self._of_addresses.wait_s(address):
            unknown = Person("unknown", frozenset(), "oidc")
            sentence = f"Too many refused logins: try again in {wait_s} s"
            self.refuse(sentence, unknown, address, wait_s)
        self._of_addresses.refused(address)

    def refuse(self, sentence: str, person: Person, address: str, wait_s: int = 0) -> NoReturn:
        """Write of it, and raise NotAdmitted."""
        action = "login-barred" if wait_s else "login"
        self.audit.write(action, person, outcome="failure", reason=sentence, address=address)
        raise NotAdmitted(sentence, wait_s)

    def _tried(self, name: str) -> Person:
        """Whom to tell of; what was typed as a name may be a password, or a patient."""
        return Person(name if name in self._roles else "unknown", frozenset(), "password")

    def _count(self, name: str, address: str) -> None:
        """Count this try before it is judged: tries at the same time are tries too."""
        key = name.casefold()
        wait_s = max(self._of_names.wait_s(key), self._of_addresses.wait_s(address))
        if wait_s:
            sentence = f"Too many refused logins: try again in {wait_s} s"
            self.refuse(sentence, self._tried(name), address, wait_s)
        self._of_names.refused(key)
        self._of_addresses.refused(address)
