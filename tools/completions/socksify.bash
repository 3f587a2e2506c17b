# Completion of socksify for bash: its own options, then the command and its arguments.
_socksify()
{
    local i word current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -c | -p | -x | --explain | --import | --isolate | --target | --log | --engine)
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++)) # --engine=ENGINE is three words
            ((i++))
            ;;
        --)
            _command_offset $((i + 1))
            return
            ;;
        -*) ;;
        *)
            _command_offset "$i"
            return
            ;;
        esac
    done
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
    -c | --import | --log)
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "$current"))
        ;;
    -p)
        mapfile -t COMPREPLY < <(cd "${XDG_CONFIG_HOME:-$HOME/.config}/socks5" 2>/dev/null &&
            compgen -G "$current*.conf" | sed 's/\.conf$//')
        ;;
    -x)
        compopt -o nospace
        COMPREPLY=($(compgen -W 'socks5h:// socks5://' -- "$current"))
        ;;
    --isolate) COMPREPLY=($(compgen -W 'process destination rule' -- "$current")) ;;
    --engine) COMPREPLY=($(compgen -W 'auto preload namespace' -- "$current")) ;;
    --explain | --target) ;;
    *)
        if [[ $current == -* ]]; then
            COMPREPLY=($(compgen -W '-c -p -x -v --isolate --log --log-json --no-fence --require-fence --no-companion --engine --strict --summary --check --target --json --explain --import --reload --version --help --' \
                -- "$current"))
        else
            COMPREPLY=($(compgen -c -- "$current"))
            [[ " ${COMP_WORDS[*]} " == *" --reload "* ]] && COMPREPLY=($(compgen -W "$(ps -u "$UID" -o pid=)" -- "$current"))
        fi
        ;;
    esac
}
complete -F _socksify socksify
