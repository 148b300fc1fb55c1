"""Attaches an array of doubles through libshm.so alone: attach.py LIBRARY NAME prints its elements and writes 42 into the last one."""

import ctypes
import sys


class Array(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64)]


shm = ctypes.CDLL(sys.argv[1])
shm.shm_last_error.restype = ctypes.c_char_p
array, data = Array(), ctypes.POINTER(ctypes.c_double)()
if shm.shm_array_attach(sys.argv[2].encode(), None, ctypes.byref(array)) != 0:
    sys.exit(shm.shm_last_error().decode())
if shm.shm_array_data(array, ctypes.byref(data)) != 0:
    sys.exit(shm.shm_last_error().decode())
print(data[:4])
data[3] = 42.0
sys.exit(shm.shm_array_detach(array))
