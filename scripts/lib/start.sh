# shellcheck shell=sh
# Sourced by the commands in scripts/, with the checkout in $root: makes its environment ready when it is not.
#
# The second start costs a few file comparisons and no Python: the environment is ready when the copies of
# pyproject.toml and of the requirements that it was made from still equal the files of the checkout.
# environment.py writes these copies last, so an install that was cut short never looks ready.

# environment_ready run|test
environment_ready() {
    made=$root/.venv/.obelisk
    [ -x "$root/.venv/bin/python" ] && [ -r "$made/root" ] || return 1
    IFS= read -r made_for <"$made/root" || return 1
    [ "$made_for" = "$root" ] || return 1
    cmp -s "$root/requirements/$1.txt" "$made/$1.txt" && cmp -s "$root/pyproject.toml" "$made/pyproject.toml"
}

# python_fits COMMAND LAST-MINOR: whether COMMAND is a Python from 3.11 to 3.LAST-MINOR.
python_fits() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $2))" >/dev/null 2>&1
}

# Prints a Python that can carry the environment. The person's own `python3` goes first; a Python newer than
# 3.13 goes last, because some packages have no ready-made files for it yet and need a compiler there.
find_python() {
    if [ -n "${OBELISK_PYTHON:-}" ]; then
        python_fits "$OBELISK_PYTHON" 99 && printf '%s\n' "$OBELISK_PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if python_fits "$candidate" 13; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    for candidate in python3 python3.14 python3.15 python; do
        if python_fits "$candidate" 99; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    command -v uv >/dev/null 2>&1 && uv python find --no-project --no-python-downloads '>=3.11' 2>/dev/null
}

# Says in one sentence that there is no Python to begin with, and what to install.
say_no_python() {
    if [ -n "${OBELISK_PYTHON:-}" ]; then
        echo "obelisk: OBELISK_PYTHON=$OBELISK_PYTHON is not a Python 3.11 or later; name one, or unset it" >&2
        return
    fi
    found=$(python3 -c 'import sys; print("only %d.%d" % sys.version_info[:2])' 2>/dev/null) || found=none
    if command -v apt-get >/dev/null 2>&1; then
        remedy="sudo apt install python3 python3-venv"
    elif command -v dnf >/dev/null 2>&1; then
        remedy="sudo dnf install python3.13"
    elif command -v apk >/dev/null 2>&1; then
        remedy="sudo apk add python3"
    elif command -v brew >/dev/null 2>&1; then
        remedy="brew install python@3.13"
    else
        remedy="your system's package for Python 3.13"
    fi
    echo "obelisk: needs Python 3.11 or later and found $found; install it ($remedy) or set OBELISK_PYTHON" >&2
}

# make_environment_ready run|test
make_environment_ready() {
    environment_ready "$1" && return
    python=$(find_python) || python=
    if [ -z "$python" ]; then
        say_no_python
        exit 69
    fi
    "$python" -I "$root/scripts/lib/environment.py" "$root" "$1" </dev/null || exit $?
}
