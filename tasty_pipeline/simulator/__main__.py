"""The command line: run a brokerage until it is interrupted, or trade and break things on a running one.

``python -m tasty_pipeline.simulator [serve] ...`` serves; ``trade``, ``fault``, ``revoke``, ``restore``,
``state`` and ``call`` speak to the control endpoint of one that runs.
"""

import argparse
import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args

from tasty_pipeline.simulator.config import DateFilter, Inclusive, SimulatorConfig
from tasty_pipeline.simulator.logins import DEFAULT, Login, UnknownLoginError, known
from tasty_pipeline.simulator.personas import account_number
from tasty_pipeline.simulator.serving import Simulator
from tasty_pipeline.simulator.spoiling import KINDS

_COMMANDS = {"serve", "trade", "fault", "revoke", "restore", "state", "call"}
_DEFAULT_URL = "http://127.0.0.1:4321"


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status. Without a command it serves."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0] not in _COMMANDS and arguments[0] not in {"-h", "--help"}):
        arguments.insert(0, "serve")
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (OSError, ValueError, UnknownLoginError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    logins = "\n".join(["logins and their refresh tokens (they open nothing else):", *_logins(SimulatorConfig())])
    prose: dict[str, Any] = {"epilog": logins, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(
        prog="simulate", description="A whole fake TastyTrade brokerage on this machine.", **prose
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _serve_parser(commands.add_parser("serve", help="run a brokerage until interrupted (the default)", **prose))
    _trade_parser(commands.add_parser("trade", help="let a running brokerage book a trade now"))
    _fault_parser(commands.add_parser("fault", help="make something go wrong, or everything well again"))
    for name, run, says in (
        ("revoke", _grant, "revoke a login's refresh token and all that came of it"),
        ("restore", _grant, "make a revoked refresh token good again"),
        ("state", _state, "show the clock, the accounts, the logins with their attempts, and the faults"),
    ):
        _login_parser(commands.add_parser(name, help=says), name, run)
    call = commands.add_parser("call", help="call any control method, e.g. call advance by=86400")
    call.add_argument("method")
    call.add_argument("arguments", nargs="*", metavar="KEY=VALUE")
    call.add_argument("--url", default=_DEFAULT_URL)
    call.set_defaults(run=_call)
    return parser


def _trade_parser(trade: argparse.ArgumentParser) -> None:
    trade.add_argument("--url", default=_DEFAULT_URL)
    trade.add_argument("--account", help="account number; default: the first open one (that the login owns)")
    trade.add_argument("--login", help="who trades: only in accounts that this login owns; default: anybody")
    trade.add_argument("--symbol")
    trade.add_argument("-n", type=int, default=1, help="number of identical fills")
    trade.set_defaults(run=_trade)


def _fault_parser(fault: argparse.ArgumentParser) -> None:
    fault.add_argument("kind", choices=[*sorted(KINDS), "clear"])
    fault.add_argument("--url", default=_DEFAULT_URL)
    fault.add_argument("--path", help="regular expression of the paths concerned; default: all but the token's")
    fault.add_argument("--login", help="only requests of this login; default: everybody's")
    fault.add_argument("--times", type=int, help="number of requests hit; default: all")
    fault.add_argument("--after", type=int, default=0, help="requests that go well first")
    fault.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="parameters, e.g. status=503")
    fault.set_defaults(run=_fault)


def _login_parser(parser: argparse.ArgumentParser, verb: str, run: Callable[[argparse.Namespace], int]) -> None:
    default = "everything" if run is _state else DEFAULT
    parser.add_argument("--login", help=f"name of a login; default: {default}")
    parser.add_argument("--url", default=_DEFAULT_URL)
    parser.set_defaults(run=run, verb=verb)


def _serve_parser(parser: argparse.ArgumentParser) -> None:
    default = SimulatorConfig()
    add = parser.add_argument
    add("--host", default=default.host)
    add("--port", type=int, default=4321, help="0: any free port")
    add("--seed", type=int, default=default.seed)
    add("--start", type=date.fromisoformat, default=default.start, help="first day of the books")
    add("--now", type=datetime.fromisoformat, help="freeze the clock at this aware time; default: real time")
    add("--trades-per-day", type=float, default=default.trades_per_day)
    add("--accounts", type=int, default=default.accounts)
    add("--closed-after-days", type=int, default=default.closed_after_days)
    add("--trade-every", type=int, metavar="N", help="book a trade before every N-th read")
    add("--live-trade-interval", type=float, metavar="SECONDS", help="book a trade by itself, in real time")
    add("--date-filter", choices=get_args(DateFilter), default=default.date_filter)
    add("--inclusive", choices=get_args(Inclusive), default=default.inclusive)
    add("--leaky-filter", action="store_true")
    add("--total-pages-when-empty", type=int, choices=(0, 1), default=default.total_pages_when_empty)
    add("--auth-error-status", type=int, choices=(400, 401), default=default.auth_error_status)
    add("--balances-shape", choices=("object", "list"), default=default.balances_shape)
    add("--journal", type=Path, metavar="FILE", help="keep what is done by hand, and do it again at the next start")
    add("--sandbox", action="store_true")
    add("--token-lifetime", type=int, default=default.token_lifetime, metavar="SECONDS")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    settings = {key: value for key, value in vars(options).items() if key != "run"}
    simulator = Simulator(SimulatorConfig(**settings))
    simulator.start()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: simulator.request_stop())
    _say(_greeting(simulator))
    simulator.wait()
    simulator.stop()
    return 0


def _greeting(simulator: Simulator) -> str:
    brokerage = simulator.brokerage
    lines = [f"A simulated brokerage answers at {simulator.url}", ""]
    for account in brokerage.accounts():
        number = account["account-number"]
        closed = ", closed" if account["is-closed"] else ""
        count = len(brokerage.archive(number).rows)
        lines.append(f"  {number}  {account['nickname']} ({account['margin-or-cash']}{closed}): {count} transactions")
    lines += [
        "",
        "Use it with these credentials (they open nothing else):",
        f"  export TASTY_API_URL={simulator.url}",
        f"  export TT_SECRET={simulator.client_secret}",
        f"  export TT_REFRESH={simulator.refresh_token}",
        "",
        "Logins, each with a TT_REFRESH of its own and the same TT_SECRET:",
        *_logins(simulator.config),
        "",
        "From another terminal, with the same command:",
        f"  ... trade --url {simulator.url}                    books a trade now",
        f"  ... fault html --times 3 --url {simulator.url}     the next three answers are a web page",
        f"  ... fault clear --url {simulator.url}",
        f"  ... revoke --login {list(simulator.logins)[-1]} --url {simulator.url}    refuses a login from now on",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def _logins(config: SimulatorConfig) -> list[str]:
    """Say of each login its name, its refresh token and what it sees at first, in columns."""
    logins = config.logins.values()
    name, token = (max(map(len, texts)) for texts in zip(*((o.name, o.refresh_token) for o in logins), strict=True))
    return [f"  {o.name:<{name}}  {o.refresh_token:<{token}}  {_sees(config, o)}" for o in logins]


def _sees(config: SimulatorConfig, login: Login) -> str:
    if login.sees_all:
        return "all accounts"
    levels = {account_number(config, slot): login.authority(slot) for slot in range(config.accounts)}
    return ", ".join(f"{account} ({level})" for account, level in levels.items() if level)


def _trade(options: argparse.Namespace) -> int:
    arguments = {"account": options.account, "symbol": options.symbol, "n": options.n}
    arguments["login"] = options.login
    return _show(_control(options.url, "POST", "call/trade", {k: v for k, v in arguments.items() if v is not None}))


def _fault(options: argparse.Namespace) -> int:
    if options.kind == "clear":
        return _show(_control(options.url, "DELETE", "faults", {}))
    fault = {"kind": options.kind, "path": options.path, "times": options.times, "after": options.after}
    fault["login"] = options.login
    return _show(_control(options.url, "POST", "faults", fault | _pairs(options.set)))


def _grant(options: argparse.Namespace) -> int:
    login = options.login or DEFAULT
    _control(options.url, "POST", f"call/{options.verb}_grant", {"login": login})
    return _show(_control(options.url, "GET", "state", {})["logins"][login])


def _state(options: argparse.Namespace) -> int:
    state = _control(options.url, "GET", "state", {})
    return _show(state if options.login is None else state["logins"][known(options.login, state["logins"])])


def _call(options: argparse.Namespace) -> int:
    return _show(_control(options.url, "POST", f"call/{options.method}", _pairs(options.arguments)))


def _pairs(texts: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE; a value is JSON if it can be, text otherwise."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not of the form KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _control(url: str, method: str, path: str, content: dict[str, Any]) -> Any:
    if not url.startswith("http"):
        raise ValueError(f"{url!r} is not the URL of a simulator")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{url.rstrip('/')}/__control__/{path}", json.dumps(content).encode(), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise ValueError(f"the simulator refuses: {refusal.read().decode(errors='replace')}") from None
    except urllib.error.URLError as problem:
        raise OSError(f"no simulator answers at {url}: {problem.reason}. Start one first.") from None


def _show(content: Any) -> int:
    _say(json.dumps(content, indent=1))
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
