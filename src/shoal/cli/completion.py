"""shoal completion: what a shell needs to complete our commands.

    eval "$(shoal completion bash)"             in ~/.bashrc
    eval "$(shoal completion zsh)"              in ~/.zshrc, after compinit
    shoal completion fish | source              in config.fish

The words are taken from the parsers once, when the script is printed: to
complete a word starts no Python.
"""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterator

from shoal.cli.main import COMMANDS, Parser, load
from shoal.cli.output import Output

SHELLS = ("bash", "fish", "zsh")
BASH = """\
_shoal() {
    local path="" word words
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path $word" in
%(paths)s
        esac
    done
    case "$path" in
%(words)s
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _shoal shoal
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(args: Namespace, output: Output) -> int:
    words = dict(collect())
    script = fish(words) if args.shell == "fish" else bash(words)
    script = ZSH + script if args.shell == "zsh" else script
    output.show({"shell": args.shell, "script": script}, script.rstrip())
    return 0


def collect() -> Iterator[tuple[str, list[str]]]:
    """Each command's path, such as "dht put", and what may stand after it."""
    root = Parser()
    yield "", [*COMMANDS, *options(root)]
    for name in COMMANDS:
        parser = Parser(prog=f"shoal {name}")
        load(name).configure(parser)
        yield from walk(name, parser)


def walk(path: str, parser: ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    verbs: dict[str, ArgumentParser] = {}
    values: list[str] = []
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            verbs = dict(action.choices)
        elif action.choices and not action.option_strings:
            values += map(str, action.choices)
    yield path, [*verbs, *values, *options(parser)]
    for verb, below in verbs.items():
        yield from walk(f"{path} {verb}", below)


def options(parser: ArgumentParser) -> list[str]:
    return [name for name in parser._option_string_actions if name.startswith("--")]


def bash(words: dict[str, list[str]]) -> str:
    paths = [f'            " {path}") path=" {path}" ;;' for path in words if path]
    lists = [
        f'        "{f" {path}" if path else ""}") words="{" ".join(each)}" ;;'
        for path, each in words.items()
    ]
    return BASH % {"paths": "\n".join(paths), "words": "\n".join(lists)}


def fish(words: dict[str, list[str]]) -> str:
    lines = []
    for path, each in words.items():
        names = path.split()
        seen = "; and ".join(f"__fish_seen_subcommand_from {name}" for name in names)
        when = seen or "__fish_use_subcommand"
        for word in each:
            what = f"-l {word[2:]}" if word.startswith("--") else f"-f -a {word}"
            lines.append(f"complete -c shoal -n '{when}' {what}")
    return "\n".join(lines)
