#!/usr/bin/env bash
# Builds a real kube-apiserver (1.20.2, from Debian 12's own source package) into /var/tmp, for the tests of the
# Kubernetes store that can be asked to run against it as well: PGHERD_KUBE_APISERVER=path. Fast when it is there already.
# Needs apt-get and the network; eight minutes of CPU time, 3 GB of disk meanwhile and 110 MB in the end. Nothing is installed.
# Usage: scripts/kube-apiserver.sh    prints the path of the binary
set -euo pipefail
home=/var/tmp/pgherd-kube-apiserver-1.20.2
binary=$home/kube-apiserver
if [ -x "$binary" ]; then
    echo "$binary"
    exit 0
fi
say() { printf '==> [%3ds] %s\n' $SECONDS "$*" >&2; }
mkdir -p "$home"
work=$(mktemp -d "$home/build.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"

# Debian's archive in lists of our own: the machine's stay as they are.
mkdir -p lists/partial cache/archives/partial
cat > sources.list <<LIST
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
LIST
apt=(-qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$work/lists"
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)")
say "apt-get update"
apt-get "${apt[@]}" update
say "downloading the source and Go"
apt-get "${apt[@]}" source --download-only kubernetes
apt-get "${apt[@]}" download golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev
for package in golang-*.deb; do dpkg -x "$package" go; done

# Debian has the two halves of GOROOT in two places, with links from one to the other.
export GOROOT=$work/goroot GOPATH=$work/gopath GOCACHE=$work/gocache GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
mkdir -p "$GOROOT"
for half in go/usr/share/go-1.19 go/usr/lib/go-1.19; do
    (cd "$half" && find . -type f) | tar cf - -C "$half" -T - | tar xf - -C "$GOROOT"
done
go=$GOROOT/bin/go
kubernetes=$GOPATH/src/k8s.io/kubernetes
mkdir -p "$kubernetes"
tar xf kubernetes_*.orig.tar.* -C "$kubernetes" --strip-components=1
cd "$kubernetes"
# The one in the source is too old for this Go: maps crash it.
rm vendor/github.com/modern-go/reflect2/*.go
cp "$work"/go/usr/share/gocode/src/github.com/modern-go/reflect2/*.go vendor/github.com/modern-go/reflect2/

say "generating the OpenAPI definitions"
"$go" build -o "$work/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
mapfile -t tagged < <(grep -rl --include='*.go' '+k8s:openapi-gen=' pkg staging/src/k8s.io vendor/k8s.io 2>/dev/null |
    grep -v -e _test.go -e /testdata/ -e zz_generated | xargs -n1 dirname |
    sed -e 's,^staging/src/,k8s.io/kubernetes/vendor/,' -e 's,^\(pkg\|vendor\)/,k8s.io/kubernetes/\1/,' | sort -u)
inputs=$(IFS=,; echo "${tagged[*]}")
mkdir -p pkg/generated/openapi
touch "$work/boilerplate"
PATH=$GOROOT/bin:$PATH "$work/openapi-gen" -O zz_generated.openapi -h "$work/boilerplate" \
    -p k8s.io/kubernetes/pkg/generated/openapi -i "$inputs" -r "$work/violations" >&2

say "building kube-apiserver"
version=k8s.io/kubernetes/vendor/k8s.io/component-base/version
"$go" build -p 2 -o "$binary.new" \
    -ldflags "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20" \
    k8s.io/kubernetes/cmd/kube-apiserver
mv "$binary.new" "$binary"
say "done"
echo "$binary"
