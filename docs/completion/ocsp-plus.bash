# Completion of ocsp-plus for bash: source it, or install it as
# /usr/share/bash-completion/completions/ocsp-plus. t/cli_completion.t compares it with --help.

_ocsp_plus() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
    local -A options=(
        [check]="--hostname --port --all --conf --prefix --nginx --unprivileged --servername --cafile --warn --critical --max-age --chain --timeout --verbose --json --version --help -H -p -w -c -t -v -V -h"
        [fetch]="--cert --issuer --responder --resolver --proxy --out --cache --share --share-prefix --share-user --share-password-file --share-sentinel --share-trusted-certificate --share-certificate --share-key --timeout --wait --quiet --verbose --json --help -4 -6 -q -v -h"
        [plan]="--conf --prefix --nginx --timeout --unprivileged --verbose --json --help -c -p -v -h"
        [share]="--prefix --user --password-file --sentinel --trusted-certificate --certificate --key --timeout --list --json --help -h"
        [show]="--cert --json --help -h"
        [verify]="--cert --issuer --trusted --response --at --sendable --json --help -h"
    )
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ -n ${options[${COMP_WORDS[i]}]-} ]] && command=${COMP_WORDS[i]} && break
    done
    if [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${!options[*]} --help --version -h" -- "$word")
        return
    fi
    case $command.$previous in
        plan.--prefix | plan.-p | check.--prefix) previous=--cache ;;
        plan.-c) previous=--conf ;;
    esac
    case $previous in
        --cert | --issuer | --trusted | --response | --cafile | --out | --*password-file | --*certificate | --*key | --conf | --nginx)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        --hostname | -H)
            mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
            return
            ;;
        --cache)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return
            ;;
        --responder | --resolver | --proxy | --servername | --port | -[pwct] | --at | --timeout | --wait | --warn | --critical | --max-age | --share | --*prefix | --*user | --*sentinel) return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${options[$command]}" -- "$word")
    elif [[ $command == show ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    elif [[ $command == check ]]; then
        mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
    fi
}

complete -F _ocsp_plus ocsp-plus
