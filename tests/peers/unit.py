"""Units on a serial line, on pymodbus: unit.py PORT DELAY ID...

Each has 100 registers with the value 7. The file DELAY says how many milliseconds they think before an answer,
give or take a seventh, as a scan cycle makes it; what the file says may change."""
import asyncio
import random
import sys
import time

from pymodbus.server import StartAsyncSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

port, delay, ids = sys.argv[1], sys.argv[2], [int(i) for i in sys.argv[3:]]


def think(sending, data):
    if sending:
        time.sleep(float(open(delay).read()) / 1000 * max(0.5, random.gauss(1, 0.15)))
    return data


registers = [SimData(0, count=100, values=7, datatype=DataType.REGISTERS)]
devices = [SimDevice(id=i, simdata=registers) for i in ids]
asyncio.run(StartAsyncSerialServer(devices, port=port, baudrate=19200, trace_packet=think))
