#!/bin/sh
# Starts a process of this image (https://github.com/buildpacks/spec/blob/main/platform.md#launch), written when the image was.
#
#   /cnb/process/<type> [argument...]             a process type; arguments take the place of its default ones
#   /cnb/lifecycle/launcher -- program [argument...]
#   /cnb/lifecycle/launcher script                run by bash, after the layers' profile.d
#   /cnb/lifecycle/launcher program argument...   likewise; variables in the arguments are expanded
#
# The image's own environment has what the layers add to it already. A variable that still has that value is left alone;
# to one that was changed when the container was started, the layers' changes are applied.

_pb_fail() {
    printf 'ERROR: %s\n' "$1" >&2
    exit "${2:-82}"
}

# Sets _pb_path to $1 without the directories that only this program is found in.
_pb_clean_path() {
    _pb_rest=$1: _pb_path=''
    while [ -n "$_pb_rest" ]; do
        _pb_part=${_pb_rest%%:*} _pb_rest=${_pb_rest#*:}
        case $_pb_part in
            /cnb/process | /cnb/lifecycle) ;;
            *) _pb_path=$_pb_path:$_pb_part ;;
        esac
    done
    _pb_path=${_pb_path#:}
}

# Whether a process for these execution environments takes part in the one of this container.
_pb_eligible() {
    for _pb_part in "$@"; do
        case $_pb_part in '*' | "${CNB_EXEC_ENV:-production}") return 0 ;; esac
    done
    return 1
}

# Runs the programs in exec.d directory $1; what they write to file descriptor 3 becomes part of the environment.
_pb_exec_d() {
    for _pb_program in "$1"/.[!.]* "$1"/*; do
        [ -f "$_pb_program" ] || continue
        { _pb_output=$("$_pb_program" 3>&1 1>&4 4>&-) || _pb_fail "\`$_pb_program\` exited with status $?"; } 4>&1
        _pb_output=$(printf '%s\n' "$_pb_output" | LC_ALL=C awk "$_pb_read_toml") ||
            _pb_fail "\`$_pb_program\` did not write string pairs as TOML to file descriptor 3"
        eval "$_pb_output"
    done
}

# Reads TOML of string pairs (https://toml.io/en/v1.0.0#string), writes assignments for the shell.
# shellcheck disable=SC2016
_pb_read_toml='
{ text = text $0 "\n" }
END {
    while (1) {
        skip("[ \t\r\n]*"); if (text == "") exit 0
        if (peek() == "#") { skip("[^\n]*"); continue }
        name = peek() == "\"" || peek() == "\047" ? string(0) : word()
        skip("[ \t]*"); if (peek() != "=") exit 1
        text = substr(text, 2); skip("[ \t]*")
        if (peek() != "\"" && peek() != "\047") exit 1
        value = string(1); skip("[ \t\r]*(#[^\n]*)?"); if (peek() != "\n") exit 1
        if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/) print "export " name "=" quoted(value)
        else if (name == "" || name ~ /=/) exit 1
        else print "_pb_extra=\"$_pb_extra \"" quoted(quoted(name "=" value))
    }
}
function peek() { return substr(text, 1, 1) }
function skip(pattern) { match(text, "^(" pattern ")"); text = substr(text, RLENGTH + 1) }
function word(  found) {
    if (!match(text, /^[A-Za-z0-9_-]+/)) exit 1
    found = substr(text, 1, RLENGTH); text = substr(text, RLENGTH + 1); return found
}
function string(many,  mark, end, found, next_character) {
    mark = peek(); end = mark
    if (many && substr(text, 1, 3) == mark mark mark) { end = mark mark mark; sub(/^...\r?\n?/, "", text) }
    else text = substr(text, 2)
    while (substr(text, 1, length(end)) != end || (length(end) == 3 && substr(text, 4, 1) == mark)) {
        next_character = peek()
        if (next_character == "" || (next_character == "\n" && length(end) == 1)) exit 1
        text = substr(text, 2)
        found = found (next_character == "\\" && mark == "\"" ? escape(length(end) == 3) : next_character)
    }
    text = substr(text, length(end) + 1); return found
}
function escape(many,  kind, digits) {
    if (many && match(text, /^[ \t\r]*\n[ \t\r\n]*/)) { text = substr(text, RLENGTH + 1); return "" }
    kind = peek(); text = substr(text, 2)
    if (kind == "b") return "\b"; if (kind == "t") return "\t"; if (kind == "n") return "\n"
    if (kind == "f") return "\f"; if (kind == "r") return "\r"; if (kind == "\"" || kind == "\\") return kind
    digits = kind == "u" ? 4 : kind == "U" ? 8 : 0
    if (!digits || substr(text, 1, digits) !~ /^[0-9A-Fa-f]+$/ || length(text) < digits) exit 1
    kind = number(substr(text, 1, digits)); text = substr(text, digits + 1); return utf8(kind)
}
function number(digits,  sum) {
    for (; digits != ""; digits = substr(digits, 2)) sum = sum * 16 + index("0123456789abcdef", tolower(substr(digits, 1, 1))) - 1
    return sum
}
function utf8(code) {
    if (code == 0 || code > 1114111) exit 1
    if (code < 128) return sprintf("%c", code)
    if (code < 2048) return sprintf("%c", 192 + int(code / 64)) tail(code)
    if (code < 65536) return sprintf("%c", 224 + int(code / 4096)) tail(code / 64) tail(code)
    return sprintf("%c", 240 + int(code / 262144)) tail(code / 4096) tail(code / 64) tail(code)
}
function tail(code) { return sprintf("%c", 128 + int(code) % 64) }
function quoted(value) { gsub(/\047/, "\047\\\\\047\047", value); return "\047" value "\047" }
'

# Stops unless $1 can be executed, found as execvp would.
_pb_check_program() {
    case $1 in
        */*) [ -f "$1" ] && [ -x "$1" ] && return ;;
        ?*)
            _pb_rest=${PATH-}:
            while [ -n "$_pb_rest" ]; do
                _pb_part=${_pb_rest%%:*} _pb_rest=${_pb_rest#*:}
                [ -f "${_pb_part:-.}/$1" ] && [ -x "${_pb_part:-.}/$1" ] && return
            done
            ;;
    esac
    _pb_fail "there is no program \`$1\` in the image that can be executed"
}

# What bash runs for a command without a process type: $0 as it was, the command as arguments.
# shellcheck disable=SC2016
_pb_shell='
for _pb_file in @PROFILES@; do
    if [ -f "$_pb_file" ]; then . "$_pb_file"; fi
done
unset _pb_file
if [ $# -eq 1 ]; then exec bash -c "$1" "$0"; fi
_pb_words=()
for _pb_word in "$@"; do
    # Quotes and backslashes stand for themselves, except within a command substitution.
    case $_pb_word in
        *"\$("* | *"\`"*) ;;
        *)
            _pb_word=${_pb_word//\\/\\\\}
            _pb_word=${_pb_word//\\\\\$/\\\$}
            _pb_word=${_pb_word//\"/\\\"}
            ;;
    esac
    eval "_pb_words+=(\"$_pb_word\")" || exit 82
done
unset _pb_word
exec "${_pb_words[@]}"
'

case ${CNB_PLATFORM_API-} in
    @PLATFORM_APIS@) ;;
    *) _pb_fail "Platform API \`${CNB_PLATFORM_API-}\` is not supported" 11 ;;
esac
if [ -n "${CNB_PROCESS_TYPE-}" ]; then
    printf 'WARNING: CNB_PROCESS_TYPE is not supported: start %s/%s instead\n' /cnb/process "$CNB_PROCESS_TYPE" >&2
fi
unset CNB_APP_DIR CNB_LAYERS_DIR CNB_PROCESS_TYPE CNB_PLATFORM_API CNB_DEPRECATION_MODE
_pb_extra='' _pb_type=${0##*/} _pb_directory=@APP_DIR@ _pb_mode=direct
cd @APP_DIR@ || _pb_fail 'the application directory is not there'

case $_pb_type in
@PROCESSES@
    *)
        _pb_type=''
        [ $# -gt 0 ] || _pb_fail 'there is no process to start: give a command, or one of the process types: @TYPES@'
        if [ "$1" = -- ]; then
            shift
            [ $# -gt 0 ] || _pb_fail "there is no command behind \`--\`"
        else
            _pb_mode=shell
        fi
        ;;
esac

_pb_clean_path "${PATH-}"
PATH=$_pb_path
export PATH
case $_pb_type in
@ENVIRONMENTS@
esac
for _pb_layer in @EXEC_D@; do _pb_exec_d "$_pb_layer"; done
if [ -n "$_pb_type" ]; then
    for _pb_layer in @EXEC_D@; do _pb_exec_d "$_pb_layer/$_pb_type"; done
fi

if [ "$_pb_mode" = shell ]; then
    _pb_check_program bash
    set -- bash -c "$_pb_shell" "$0" "$@"
else
    _pb_check_program "$1"
    case $1 in
        /*) ;;
        */*)
            # It was looked for in the application directory, whatever the working directory is.
            if [ "$_pb_directory" != @APP_DIR@ ]; then
                _pb_program=$PWD/$1
                shift
                set -- "$_pb_program" "$@"
            fi
            ;;
    esac
fi
cd "$_pb_directory" || _pb_fail "the working directory \`$_pb_directory\` is not there"
unset OLDPWD _pb_rest _pb_path _pb_part _pb_program _pb_output _pb_layer _pb_type _pb_directory _pb_mode
if [ -z "$_pb_extra" ]; then exec "$@"; fi
eval "exec env$_pb_extra \"\$@\""
