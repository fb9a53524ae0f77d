# Shared by scripts/demo and scripts/check: packages, building. Sourced, with $top set to the source tree.
# shellcheck shell=bash

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
build_packages='build-essential autoconf automake libtool pkg-config libunwind-dev libelf-dev'
check_packages='check clang-format clang-tidy groff-base xz-utils'

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# The packages of the list that dpkg does not know as installed.
missing_packages()
{
	local p
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s\n' "$p"
	done
}

# Installs what is missing. Without apt, or without the right to use it, says what to install and goes on: configure tells
# whether it matters. Packages that the distribution does not have are left out.
install_packages()
{
	local missing known=() p apt=(apt-get)
	command -v dpkg-query >/dev/null || { echo "not a Debian system: assuming these are there: $*"; return 0; }
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		if sudo -n true 2>/dev/null; then
			apt=(sudo -n apt-get)
		else
			echo "not installed, and not root: ${missing[*]}"
			return 0
		fi
	fi
	echo "installing ${missing[*]}"
	"${apt[@]}" update -qq </dev/null >/dev/null 2>&1 || echo "apt-get update failed: using the lists that are there"
	for p in "${missing[@]}"; do
		if apt-cache show "$p" >/dev/null 2>&1; then known+=("$p"); else echo "no package $p here"; fi
	done
	[ ${#known[@]} -gt 0 ] || return 0
	"${apt[@]}" install -y -qq --no-install-recommends "${known[@]}" </dev/null >/dev/null 2>&1 ||
		for p in "${known[@]}"; do # one that cannot be installed must not keep the others away
			"${apt[@]}" install -y -qq --no-install-recommends "$p" </dev/null >/dev/null 2>&1 || echo "could not install $p"
		done
}

# build_tree FOLDER CONFIGURE-ARGUMENTS...: configures (again only when the arguments or configure changed) and builds.
build_tree()
{
	local dir=$1 stamp
	shift
	if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ] || [ ! -e "$top/Makefile.in" ]; then
		(cd "$top" && ./autogen.sh) >"$top/autogen.log" 2>&1 || { cat "$top/autogen.log"; return 1; }
		rm -f "$top/autogen.log"
	fi
	mkdir -p "$dir"
	stamp="$* CC=${CC:-} CFLAGS=${CFLAGS:-}"
	if [ ! -e "$dir/Makefile" ] || [ "$(cat "$dir/.configured-with" 2>/dev/null)" != "$stamp" ] ||
		[ "$top/configure" -nt "$dir/config.status" ]; then
		(cd "$dir" && "$top/configure" --quiet "$@") || return 1
		printf '%s\n' "$stamp" >"$dir/.configured-with"
	fi
	make -C "$dir" -j "$(nproc)" --no-print-directory </dev/null
}
