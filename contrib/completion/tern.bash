# bash completion for tern(1). Commands and options are asked of the program itself, so that this never goes stale.

_tern_values() {
    case $1 in
        --tag) echo "cpu io slow-io auto" ;;
        --role) echo "client worker admin" ;;
        --state) echo "blocked scheduled queued running done dead cancelled expired" ;;
        *) return 1 ;;
    esac
}

_tern() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb='' i names values
    COMPREPLY=()
    names=$("${COMP_WORDS[0]}" help --names 2> /dev/null) || return 0
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -- ]] && break
        if [[ -z $verb && ${COMP_WORDS[i]} != -* ]]; then
            verb=${COMP_WORDS[i]}
        fi
    done
    if values=$(_tern_values "$before"); then
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
    elif [[ -z $verb ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(cut -d' ' -f1 <<< "$names")" -- "$word")
    elif [[ $word == -* ]]; then
        values=$(sed -n "s/^$verb //p" <<< "$names")
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
    else
        case $verb in
            help) mapfile -t COMPREPLY < <(compgen -W "$(cut -d' ' -f1 <<< "$names")" -- "$word") ;;
            submit | run) mapfile -t COMPREPLY < <(compgen -c -f -- "$word") ;;
            advise)
                mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" advise --json 2> /dev/null |
                    sed -n 's/.*"handler":"\([^"]*\)".*/\1/p' | sort -u)" -- "$word")
                ;;
            wait | result | logs | show | list | why | history | cancel | retry | rm)
                mapfile -t COMPREPLY < <(compgen -W "last all" -- "$word")
                ;;
        esac
    fi
}

complete -o default -F _tern tern
