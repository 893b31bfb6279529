#!/usr/bin/env bash
# Makes the sound files of all phrases and the music, each once: what `make prompts` runs.
#
#   prompts/make.sh OUTDIR       OUTDIR/<language>/<phrase>.wav and OUTDIR/music/<name>.wav
#
# CONVERT  the converter (prompts/convert.c, built); SOUNDS_<language>, MUSIC  where the recordings are
# Fails, naming them all, when a phrase lacks its recording or the sources use a phrase that no line names.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:?usage: prompts/make.sh OUTDIR}
convert=${CONVERT:-$root/build/tools/prompts-convert}
music=${MUSIC:-/usr/share/asterisk/moh}
bad=0

complain() {
	echo "prompts: $*" >&2
	bad=1
}

# Where the recordings of a language are. Debian's alternative "en" is not there with every package: en_US_f_Allison is.
sounds_of() {
	local var=SOUNDS_$1 folder
	for folder in "${!var:-}" /usr/share/asterisk/sounds/"$1" /usr/share/asterisk/sounds/"$1"_*; do
		[ ! -d "$folder" ] || break
	done
	echo "$folder"
}

# Sets $file to a recording: wide-band where there is one.
find_recording() {
	local suffix
	for suffix in g722 wav; do
		file=$1.$suffix
		[ -e "$file" ] && return 0
	done
	return 1
}

# A phrase's sources as arguments for the converter, in $args. What they are made of is remembered beside the sounds, with size and date,
# so that they are converted again only when that has changed.
resolve() {
	local sounds=$1 part name parts
	args=()
	IFS=+ read -ra parts <<<"$2"
	for part in "${parts[@]}"; do
		name=${part%%@*}
		find_recording "$sounds/$name" || return 1
		args+=("$file${part#"$name"}")
	done
}

make_one() {
	local to=$1 recipe
	shift
	recipe=$(stat -Lc '%n %s %Y' "${@%%@*}"; echo "$*")
	if [ -e "$to" ] && [ "${known[$to]:-}" = "${recipe//$'\n'/ | }" ]; then
		made[$to]=${known[$to]}
		return 0
	fi
	mkdir -p "${to%/*}"
	if "$convert" "$to" "$@"; then
		made[$to]=${recipe//$'\n'/ | }
	else
		bad=1
	fi
}

make_language() {
	local tsv=$1 language phrase text source sounds
	language=$(basename "$(dirname "$tsv")")
	sounds=$(sounds_of "$language")
	while IFS=$'\t' read -r phrase text source; do
		if [ -z "$source" ] || [ -z "$text" ]; then
			complain "$tsv: $phrase: three columns are wanted"
		elif resolve "$sounds" "$source"; then
			make_one "$out/$language/$phrase.wav" "${args[@]}"
		else
			complain "$language: phrase $phrase: no recording of $source below $sounds"
		fi
	done < <(grep -Ev '^(#|[[:space:]]*$)' "$tsv")
}

make_music() {
	local found name
	for found in "$music"/*.wav "$music"/*.g722; do
		[ -e "$found" ] || continue
		name=$(basename "${found%.*}")
		find_recording "$music/$name" || continue
		make_one "$out/music/$name.wav" "$file"
	done
	[ -d "$out/music" ] || complain "no music in $music"
}

# Phrases named in the sources: arguments of the functions that speak, and whatever begins as the mailbox's phrases do.
used_phrases() {
	{
		grep -rhoE '\b(say_phrase|app_play)\([^,"]*, *"[^"]+"' "$root/apps" "$root/src/call" --include='*.c' | sed 's/.*"\(.*\)"/\1/'
		grep -rhoE '"vm-[^"]*"' "$root/apps" "$root/src/call" --include='*.c' | tr -d '"'
	} 2>/dev/null | tr '&' '\n' | sort -u
}

check_used() {
	local missing
	missing=$(comm -23 <(used_phrases) <(cut -f1 "$root/prompts/en/phrases.tsv" | sort -u) | tr '\n' ' ')
	[ -z "${missing// /}" ] || complain "used, but not in prompts/en/phrases.tsv: $missing"
}

declare -A known=() made=()
mkdir -p "$out"
if [ -e "$out/.made" ]; then
	while IFS=$'\t' read -r to recipe; do
		known[$to]=$recipe
	done <"$out/.made"
fi
for tsv in "$root"/prompts/*/phrases.tsv; do
	make_language "$tsv"
done
make_music
check_used
for to in "${!made[@]}"; do
	printf '%s\t%s\n' "$to" "${made[$to]}"
done | sort >"$out/.made.new"
mv "$out/.made.new" "$out/.made"
[ $bad = 0 ] && echo "prompts: ${#made[@]} files in $out"
exit $bad
