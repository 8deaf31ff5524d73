#!/bin/sh
# Make a folder with the programs of the Work Queue that another Debian release has, and with a Python that can import it.
# Nothing is installed. Usage: make.sh FOLDER [SUITE [MIRROR]]
set -eu

folder=$(realpath -m "$1") suite=${2:-trixie}
mirror=${3:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)}
[ -n "$mirror" ] || { echo "no mirror of Debian is known here: name one" >&2; exit 2; }

mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/root" "$folder/bin"
cd "$folder/apt"
: >status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >sources.list
cat >apt.conf <<CONFIGURATION
Dir::Etc::SourceList "$folder/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "$folder/apt";
Dir::State::Lists "$folder/apt/lists";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt/cache";
APT::Sandbox::User "root";
CONFIGURATION
export APT_CONFIG="$folder/apt/apt.conf"
apt-get -qq update
apt-get -qq install -y --download-only --no-install-recommends coop-computing-tools python3-workqueue
for package in cache/archives/*.deb; do dpkg -x "$package" "$folder/root"; done

# The programs run where they lie, with the C library that came with them.
usr=$folder/root/usr libraries=$folder/root/usr/lib/$(uname -m)-linux-gnu
loader=$(echo "$libraries"/ld-linux-*.so.*)
python=$(basename "$(readlink -f "$usr/bin/python3")")
wrap() {
    printf '#!/bin/sh\n%sexec "%s" --library-path "%s" "%s" "$@"\n' "$3" "$loader" "$libraries" "$usr/bin/$2" >"$folder/bin/$1"
    chmod +x "$folder/bin/$1"
}
for program in work_queue_worker work_queue_status work_queue_factory catalog_server; do wrap $program $program ""; done
wrap python3 "$python" "export PYTHONHOME=\"$usr\" PYTHONPATH=\"$usr/lib/python3/dist-packages\"
"
"$folder/bin/python3" -c 'import work_queue'
"$folder/bin/work_queue_worker" --version | head -n 1
echo "export WQ_PACKAGE_NEWER_WORK_QUEUE=$folder/bin"
