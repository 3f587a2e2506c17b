# Completion of socks5-bridge for bash.
_socks5_bridge()
{
    local current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    -c | --password-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        ;;
    -x)
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -W 'socks5h:// socks5://' -- "$current")
        ;;
    --user)
        mapfile -t COMPREPLY < <(compgen -u -- "$current")
        ;;
    --listen) ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W '--listen -c -x --user --password-file -v --version --help' \
            -- "$current")
        ;;
    esac
}
complete -F _socks5_bridge socks5-bridge
