# Completion of crx and the crx-* tools for bash: options as the tool's --help prints them, the values of options that take
# one of a few words, PIDs, and files.
_crx_options() {
  "$@" --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z-]*' | tr -d ' ,' | sort -u
}

# Prints the words of "--option one|two|three" in the help of a tool.
_crx_values() {
  "$1" --help 2>/dev/null | grep -oE -- "$2[ =][a-z0-9-]+(\\|[a-z0-9-]+)+" | head -n 1 | sed "s/^$2.//" | tr '|' ' '
}

_crx_verbs() {
  crx --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p'
}

_crx() {
  local tool=$1 word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} values verbs
  COMPREPLY=()
  if [ "${tool##*/}" = crx ]; then
    if [ "$COMP_CWORD" -eq 1 ]; then
      mapfile -t COMPREPLY < <(compgen -W "$(_crx_verbs) help --help --version" -- "$word")
      return
    fi
    tool=crx-${COMP_WORDS[1]}
  fi
  case ${tool##*/} in
    crx-image) verbs="show verify dedup decode list remove" ;;
    crx-hibernate) verbs="save restore status hold" ;;
    crx-protect) verbs="run status revive serve" ;;
    crx-slurm) verbs="run save revive drop" ;;
    crx-rebalance) verbs="plan apply drain status" ;;
  esac
  if [[ $word == -* ]]; then
    # The verbs of the scripts in Python have options of their own.
    [[ $tool != *crx-image && " $verbs " == *" $before "* ]] || before=
    mapfile -t COMPREPLY < <(compgen -W "$(_crx_options "$tool" ${before:+"$before"})" -- "$word")
    return
  fi
  if [[ $before == --* ]]; then
    values=$(_crx_values "$tool" "$before")
    if [ -n "$values" ]; then
      mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
      return
    fi
  fi
  if [[ ($tool == *crx-migrate && $before != --*) || ($tool == *crx-dump && $before == -t) ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")
    return
  fi
  if [ -n "$verbs" ] && [[ crx-${before##*crx-} == "${tool##*/}" ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

complete -o filenames -F _crx crx crx-agent crx-check crx-dump crx-hibernate crx-image crx-keys crx-migrate crx-protect crx-rebalance crx-restore crx-run crx-slurm
