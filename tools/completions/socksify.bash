# Completion of socksify for bash: its own options, then the command and its arguments.
_socksify()
{
    local i word
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -c | -x | --explain | --import | --isolate | --target | --log) ((i++)) ;;
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
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    -c | --import | --log)
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
        ;;
    -x)
        compopt -o nospace
        COMPREPLY=($(compgen -W 'socks5h:// socks5://' -- "${COMP_WORDS[COMP_CWORD]}"))
        ;;
    --isolate) COMPREPLY=($(compgen -W 'process destination rule' -- "${COMP_WORDS[COMP_CWORD]}")) ;;
    --explain | --target) ;;
    *)
        if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
            COMPREPLY=($(compgen -W '-c -x -v --isolate --log --log-json --no-fence --require-fence --no-companion --summary --check --target --json --explain --import --version --help --' \
                -- "${COMP_WORDS[COMP_CWORD]}"))
        else
            COMPREPLY=($(compgen -c -- "${COMP_WORDS[COMP_CWORD]}"))
        fi
        ;;
    esac
}
complete -F _socksify socksify
