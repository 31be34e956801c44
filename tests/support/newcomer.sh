#!/bin/sh
# Tries the README in a fresh Debian with nothing but what the README asks for: `make trial-newcomer`.
#
#   newcomer.sh FOLDER RECORD
#
# FOLDER takes the fresh root, which is made with debootstrap and kept for the next time. The project's files are copied
# into it; then `make run` is run word by word until it is ready, ended with Ctrl-C, and after it every other command of the
# README by the test of that page. Packages come from where this machine's own apt and pip get them: their settings, the
# folders these name and the environment's PIP_* and *_PROXY are handed in. It needs root, debootstrap and unshare; where
# they are not there, it says so and ends with 0.
set -eu

folder=$1 record=$2
root=$folder/root

skip() {
  echo "skipped: $1"
  exit 0
}
[ "$(id -u)" = 0 ] || skip "needs root"
for program in debootstrap unshare chroot apt-get; do
  command -v "$program" > /dev/null || skip "there is no $program"
done
unshare --mount --pid --fork true 2> /dev/null || skip "unshare is not permitted"

if [ ! -e "$folder/made" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' | sed -n 's/ Debian$//p' | head -n 1)
  [ -n "$mirror" ] || skip "apt knows no mirror of Debian"
  rm -rf "$root"
  mkdir -p "$folder"
  debootstrap --variant=minbase --include=python3,python3-venv,make bookworm "$root" "$mirror"
  touch "$folder/made"
fi

rm -rf "$root/srv/actorctl" "$root/opt"
mkdir -p "$root/srv/actorctl" "$root/opt"
git ls-files -z --cached | grep -zv '^tests/node/node_modules/' | xargs -0 cp --parents -t "$root/srv/actorctl" 2> /dev/null || true

export NEWCOMER_ROOT="$root"
unshare --mount --pid --fork --kill-child sh -eu <<'END'
mount --make-rprivate /
root=$NEWCOMER_ROOT
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
  if [ -e "$file" ]; then
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
  fi
done
for named in $(cat /etc/pip.conf "$HOME/.config/pip/pip.conf" 2> /dev/null; env | grep '^PIP_' || true); do
  path=${named##*file://}
  path=/${path#*/}
  path=${path%/simple} # an index of a folder names files beside it
  if [ -d "$path" ] && [ "$path" != / ]; then
    mkdir -p "$root$path"
    mountpoint -q "$root$path" || mount --bind "$path" "$root$path"
  fi
done
for name in $(env | sed -n 's/^\([A-Za-z_]*\)=.*/\1/p'); do
  case "$name" in
    PIP_* | *_PROXY | *_proxy | SSL_CERT_FILE | REQUESTS_CA_BUNDLE | HOME | TERM) ;;
    *) unset "$name" 2> /dev/null || true ;;
  esac
done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
cd "$root"
exec chroot . sh -eu -c '
  cd /srv/actorctl
  command -v git gcc actorctl && exit 1
  date +%s > /tmp/began
  make run > /tmp/run.log 2>&1 &
  make=$!
  until grep -q "NodeChanged: running" /tmp/run.log; do
    kill -0 $make 2> /dev/null || { cat /tmp/run.log; exit 1; }
    sleep 0.2
  done
  echo "make run is ready $(($(date +%s) - $(cat /tmp/began))) s after it was typed"
  grep "NodeChanged: running" /tmp/run.log
  . .venv/bin/activate
  actorctl tree --depth 1
  actorctl down
  wait $make
  ! grep -n "Traceback" /tmp/run.log
  python -m pytest -q tests/acceptance/test_docs.py -k README
'
END
version=$(cat "$root/etc/debian_version")
printf '{\n  "debian": "%s",\n  "python": "%s",\n  "readme": "every command"\n}\n' \
  "$version" "$(chroot "$root" python3 -c 'import platform; print(platform.python_version())')" > "$record"
cat "$record"
