#!/bin/sh
# Runs inside an image while it is built. The base image gets the box's user and the places that its mounts cover; with
# the argument `layer`, toolchains were added to an image that has them. Both are cleaned, and note their packages' sums.
set -eu
if [ "${1:-base}" = base ]; then
    groupadd --gid 1000 dev 2>/dev/null || groupmod --new-name dev "$(getent group 1000 | cut -d: -f1)"
    if old=$(getent passwd 1000 | cut -d: -f1) && [ -n "$old" ]; then
        usermod --login dev --home /home/dev --shell /bin/bash "$old"
    else
        useradd --uid 1000 --gid 1000 --home-dir /home/dev --shell /bin/bash dev
    fi
    # the folders above nested caches: a new home volume starts with them, so they belong to the user
    mkdir -p /home/dev/.cache /home/dev/.cargo /workspace /opt/toolpacks
    [ -e /home/dev/.bashrc ] || cp /etc/skel/.bashrc /etc/skel/.profile /home/dev/
    cat >> /home/dev/.bashrc <<'RC'
PS1='\[\e[32m\]aibox\[\e[0m\]:\[\e[34m\]\w\[\e[0m\]\$ '
RC
    chown -R 1000:1000 /home/dev /workspace /opt/toolpacks
    # git refuses a repository whose owner it does not know; the whole workspace is the user's own
    git config --system --add safe.directory '*'
    ln -sf vim.tiny /usr/bin/vim
fi
# Java's list of certificates (a JKS file, sealed with SHA-1) notes when each was added, which would tell two builds apart
if [ -e /etc/ssl/certs/java/cacerts ]; then
    python3 - /etc/ssl/certs/java/cacerts <<'PY'
import hashlib, struct, sys
def seal(body):
    return hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()
with open(sys.argv[1], "r+b") as file:
    data = file.read()
    body, at = bytearray(data[:-20]), 12
    if data[:8] == bytes.fromhex("feedfeed00000002") and seal(body) == data[-20:]:
        while at < len(body) and body[at:at + 4] == b"\0\0\0\2":
            at += 6 + struct.unpack_from(">H", body, at + 4)[0]
            body[at:at + 8] = bytes(8)
            at += 10 + struct.unpack_from(">H", body, at + 8)[0]
            at += 4 + struct.unpack_from(">I", body, at)[0]
        file.seek(0)
        file.write(body + seal(body))
PY
fi
# the SBOM's sums: of each package that is installed, the SHA-256 that the archive's signed lists give its file; what lies
# in a layer below may be in no list any more
mkdir -p /usr/share/aibox
touch /usr/share/aibox/packages
# shellcheck disable=SC2046 # one word a package
apt-cache show $(dpkg-query --show --showformat='${binary:Package}=${Version} ') 2>/dev/null \
    | awk '/^Package: /{p=$2} /^Version: /{v=$2} /^Architecture: /{a=$2} /^SHA256: /{print p, a, v, $2}' \
    | sort -u - /usr/share/aibox/packages > /usr/share/aibox/packages.new
mv /usr/share/aibox/packages.new /usr/share/aibox/packages
# no program in a box can gain privileges; none should look as if it could
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/*.log /var/log/apt
rm -f /etc/machine-id /etc/hostname /etc/resolv.conf
