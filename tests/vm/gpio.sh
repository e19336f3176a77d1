#!/bin/bash
# Runs hal/tests/sensor_gpio.rs on a Debian kernel in a virtual machine, with GPIO chips that the kernel simulates.
# Debian builds no gpio-sim: it is built here from the source of the same version. Nothing is installed by this.
#   usage: tests/vm/gpio.sh          as `make gpio`; what it needs of the system, deploy/setup.sh --vm installs
# The kernel and its modules stay in target/vm/VERSION for the next time; packages are fetched by apt-get.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(dpkg --print-architecture)" != amd64 ]; then
    echo "gpio: the kernel that is booted is one of amd64; this machine is none" >&2
    exit 1
fi

depends() { # PACKAGE PATTERN: the first package it depends on that looks so
    apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)$/\1/p" | head -n 1
}

image=$(depends linux-image-amd64 'linux-image-.*')
version=$(apt-cache show --no-all-versions "$image" | sed -n 's/^Version: //p')
release=${image#linux-image-}
headers=linux-headers-$release
series=$(depends "$headers" 'linux-kbuild-.*')
series=${series#linux-kbuild-}
vm=target/vm/$version
work=target/vm/work

fetch() { # PACKAGE...: unpacks them, of this version, into work/tree
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "${@/%/=$version}")
    for package; do
        deb=$(echo "$work/${package}_"*.deb)
        if [ "${package#linux-source-}" != "$package" ]; then
            # Of 1.3 GB two files and one header are needed.
            dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$package.tar.xz" | xz -dc |
                tar -x -C "$work" --strip-components=1 "$package/kernel/irq/irq_sim.c" \
                    "$package/drivers/gpio/gpio-sim.c" "$package/drivers/gpio/gpiolib.h"
        else
            dpkg-deb -x "$deb" "$work/tree"
        fi
        rm "$deb"
    done
}

build_modules() {
    local folder=$work/modules tree
    tree=$(realpath "$work/tree")
    mkdir "$folder"
    mv "$work"/drivers/gpio/* "$folder"
    # Two words that the kernel keeps for itself: one function, and the licence of what is no module there.
    sed 's/handle_simple_irq(irq_to_desc(\([a-z]*\)))/generic_handle_irq(\1)/' "$work/kernel/irq/irq_sim.c" \
        >"$folder/irq_sim.c"
    printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' >>"$folder/irq_sim.c"
    echo 'obj-m := irq_sim.o gpio-sim.o' >"$folder/Kbuild"
    sed -i "s|/usr/src/|$tree/usr/src/|" "$tree/usr/src/$headers/Makefile"
    make -s -C "$tree/usr/src/$headers" M="$(realpath "$folder")" modules >"$work/log" 2>&1 ||
        { cat "$work/log" >&2 && exit 1; }
    strip --strip-debug "$folder"/*.ko
}

if ! [ -e "$vm/whole" ]; then
    echo "gpio: fetching Linux $version, about 230 MB, and building gpio-sim for it"
    rm -rf target/vm
    mkdir -p "$vm" "$work/tree"
    fetch "$image" "$headers" "linux-headers-${release%-amd64}-common" "linux-kbuild-$series" "linux-source-$series"
    build_modules
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root busybox-static)
    dpkg-deb -x "$work"/busybox-static_*.deb "$work/tree"
    find "$work/tree/lib/modules/$release" -name configfs.ko -exec cp {} "$vm" \;
    cp "$work/modules/irq_sim.ko" "$work/modules/gpio-sim.ko" "$work/tree/bin/busybox" "$vm"
    cp "$work/tree/boot/vmlinuz-$release" "$vm/vmlinuz"
    rm -rf "$work"
    touch "$vm/whole"
fi

built=$(cargo test --locked -p hal --test sensor_gpio --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,tmp}
cp "$vm/busybox" "$root/bin"
cp "$vm"/*.ko "$root"
strip --strip-debug -o "$root/bin/sensor_gpio" "$built"
ldd "$built" | grep -o '/[^ ]*' | while read -r library; do
    install -D "$library" "$root$library"
done
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in configfs irq_sim gpio-sim; do insmod /$module.ko; done
mount -t configfs configfs /sys/kernel/config
echo "gpio: Linux $(uname -r)"
HEADGATE_GPIO_SIM=1 sensor_gpio --test-threads 1
echo "gpio: ended with $?"
poweroff -f
INIT
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$vm/initrd"

# No acceleration: it is the same everywhere, and a boot takes seconds.
timeout 300 qemu-system-x86_64 -accel tcg -m 512 -nodefaults -display none -no-reboot -serial stdio \
    -kernel "$vm/vmlinuz" -initrd "$vm/initrd" -append "console=ttyS0 loglevel=1 panic=-1" \
    </dev/null 2>&1 | tr -d '\r' | tee "$vm/log"
grep -qx 'gpio: ended with 0' "$vm/log"
