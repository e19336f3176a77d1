"""An engineering station on pymodbus: station.py PORT IMAGE SHAPE [--flip BYTE] [--address A] [--leave]

Downloads IMAGE as one of the shipped profiles says and prints what came of each step. With --leave it hangs
up as soon as the commit of file records is sent. Exit code 0: the commit was accepted, or sent; 1: a step was
refused, with its exception on the last line.
"""
import argparse
import sys
import time

from pymodbus.client import ModbusTcpClient
from pymodbus.pdu.file_message import FileRecord

ap = argparse.ArgumentParser()
ap.add_argument("port", type=int)
ap.add_argument("image")
ap.add_argument("shape", choices=["generic-file-record", "generic-offset-window", "generic-linear", "rackmon", "ucw", "wirenboard"])
ap.add_argument("--flip", type=int)
ap.add_argument("--address", default="127.0.0.1")
ap.add_argument("--enter", type=lambda t: int(t, 0), default=0xAA55)
ap.add_argument("--leave", action="store_true")
ap.add_argument("--block", type=int, default=96)
o = ap.parse_args()

image = bytearray(open(o.image, "rb").read())
if o.flip is not None:
    image[o.flip] ^= 1
image = bytes(image)
client = ModbusTcpClient(o.address, port=o.port, timeout=30, retries=0)
assert client.connect(), "no connection"


def words(data):
    return [int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2)]


def must(what, reply):
    if reply.isError():
        print(f"{what}: exception {reply.exception_code}")
        sys.exit(1)
    return reply


def write(what, register, values):
    # A bootloader's window takes FC 16; single control registers take FC 6.
    if len(values) == 1 and not what.startswith("block"):
        return must(what, client.write_register(register, values[0], device_id=1))
    return must(what, client.write_registers(register, values, device_id=1))


def status(register, table="holding"):
    read = client.read_holding_registers if table == "holding" else client.read_input_registers
    return must("status", read(register, count=1, device_id=1)).registers[0]


def wait(register, good, bad, table="holding"):
    for _ in range(600):
        word = status(register, table)
        if word in good:
            return
        if word in bad:
            print(f"status: {word:#x}")
            sys.exit(1)
        time.sleep(0.05)
    print("status: timeout")
    sys.exit(1)


def pad(data, block, fill=0xFF):
    return data + bytes([fill]) * (-len(data) % block)


start = time.time()
high, low = len(image) >> 16, len(image) & 0xFFFF
if o.shape == "generic-file-record":
    write("begin", 0xF000, [1, high, low])
    data, at = pad(image, 2), 0
    while at < len(data):
        record = at // 2
        part = data[at:at + min(240, (10000 - record % 10000) * 2)]
        sub = FileRecord(file_number=1 + record // 10000, record_number=record % 10000, record_data=part)
        must(f"block at {at}", client.write_file_record([sub], device_id=1))
        at += len(part)
    if o.leave:
        client.socket.sendall(bytes.fromhex("006300000006" + "0106f0000002"))
        client.close()
        sys.exit(0)
    write("commit", 0xF000, [2])
    wait(0xF003, {0, 4}, {5})
elif o.shape == "generic-offset-window":
    write("begin", 0xF100, [1, high, low])
    for at in range(0, len(image), 128):
        must("offset", client.write_registers(0xF108, [at >> 16, at & 0xFFFF], device_id=1))
        write(f"block at {at}", 0xF110, words(pad(image[at:at + 128], 2)))
    write("commit", 0xF100, [2])
    wait(0xF103, {0, 4}, {5})
elif o.shape == "generic-linear":
    write("begin", 0xF200, [1, high, low])
    for at in range(0, len(image), 240):
        write(f"block at {at}", 0x4000 + at // 2, words(pad(image[at:at + 240], 2)))
    write("commit", 0xF200, [2])
    wait(0xF203, {0, 4}, {5})
elif o.shape == "rackmon":
    write("unlock", 0x300, [0x55AA])
    write("enter", 0x301, [o.enter])
    wait(0x302, {1}, {0x55})
    for at in range(0, len(image) // o.block * o.block, o.block):
        write(f"block at {at}", 0x310, words(image[at:at + o.block]))
        wait(0x302, {6}, {0x55})
    write("verify", 0x303, [0x55AA])
    wait(0x302, {0xAA, 0}, {0x55})
    write("exit", 0x304, [0x55AA])
elif o.shape == "ucw":
    write("leave", 0xE000, [5])
    write("start", 0xE000, [2])
    wait(0xE003, {2}, {4, 5}, "input")
    for n in range(0, (len(image) + 127) // 128):
        write("number", 0xE001, [n])
        write(f"block {n}", 0xE100, words(pad(image[n * 128:n * 128 + 128], 128)))
        write("flash", 0xE000, [4])
        wait(0xE003, {2}, {4, 5}, "input")
    write("end", 0xE000, [3])
    wait(0xE003, {1, 2}, {4, 5}, "input")
    write("boot", 0xE000, [1])
elif o.shape == "wirenboard":
    def swap(data):
        return [int.from_bytes(data[i:i + 2], "little") for i in range(0, len(data), 2)]

    write("enter", 129, [1])
    write("block info", 0x1000, swap(image[:32]))
    for at in range(32, len(image), 136):
        write(f"block at {at}", 0x2000, swap(pad(image[at:at + 136], 136)))
print(f"committed: {len(image)} bytes in {time.time() - start:.2f} s")
