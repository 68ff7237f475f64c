#compdef aibox
# zsh completion of aibox; made by: aibox completion zsh
_aibox() {
    local program=${~words[1]} line
    local -a lines values shown
    lines=("${(@f)$("$program" __complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        case $line in
            '') ;;
            :files) _files ;;
            :folders) _files -/ ;;
            *) values+=("${line%%$'\t'*}"); shown+=("${line/$'\t'/  -- }") ;;
        esac
    done
    (( ${#values} )) && compadd -l -d shown -a values
    return 0
}
if [[ $funcstack[1] = _aibox ]]; then _aibox "$@"; else compdef _aibox aibox; fi
