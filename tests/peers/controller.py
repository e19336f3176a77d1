"""A controller on pymodbus: controller.py PORT. 200 registers with the value 7; it takes no updates."""
import asyncio
import sys

from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

device = SimDevice(id=1, simdata=[SimData(0, count=200, values=7, datatype=DataType.REGISTERS)])
asyncio.run(StartAsyncTcpServer(device, address=("127.0.0.1", int(sys.argv[1]))))
