#!/usr/bin/python3
"""usage: stranger.py HOST:PORT KEYFILE QUEUE LINE

A client made only of the pages, with another implementation of Noise: asks the gate who it is,
shakes hands, sends LINE to QUEUE, and prints the number that the message got."""
import base64
import socket
import struct
import sys

from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.x25519.x25519 import PrivateKey, PublicKey, X25519DH
from dissononce.hash.blake2b import Blake2bHash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState

WHO = b"?"
CLIENT = b"\x02"
MAGIC = 0x6C716D72
GATE_OPEN, GATE_DATA, GATE_CREDIT, GATE_CLOSE, GATE_CONTACTS = 1, 2, 3, 4, 5
WIRE_HELLO, WIRE_SEND, WIRE_WELCOME, WIRE_SENT = 1, 2, 64, 67
DATA = b"\x00"


class Refused(Exception):
    """The other end has ended the connection, or says something else than it must."""


def string(data):
    return bytes([len(data)]) + data


def frame(kind, payload):
    return struct.pack("<IBBH", len(payload), kind, 0, 0) + payload


def read(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise Refused("the connection has ended")
        data += more
    return data


def read_message(sock):
    return read(sock, struct.unpack("<H", read(sock, 2))[0])


def message(data):
    return struct.pack("<H", len(data)) + data


def write_message(sock, data):
    sock.sendall(message(data))


def who(address, **how):
    """The responder's key, name and cluster, in clear."""
    with socket.create_connection(address, **how) as sock:
        sock.sendall(WHO)
        data = read_message(sock)
        if sock.recv(1):
            raise Refused("there is more than was asked for")
    magic, version = struct.unpack_from("<IH", data)
    assert magic == MAGIC and version == 1
    at, fields = 6, []
    for _ in range(3):
        fields.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return fields


def first_message(secret, key, name, cluster, role=CLIENT, version=1):
    """Whose state it is, and message 1."""
    state = HandshakeState(
        SymmetricState(CipherState(ChaChaPolyCipher()), Blake2bHash()), X25519DH()
    )
    prologue = struct.pack("<IH", MAGIC, version) + role + string(cluster) + string(name)
    pair = X25519DH().generate_keypair(PrivateKey(secret))
    state.initialize(IKHandshakePattern(), True, prologue, s=pair, rs=PublicKey(key))
    first = bytearray()
    state.write_message(b"", first)
    return state, bytes(first)


def shake_hands(sock, secret, key, name, cluster):
    state, first = first_message(secret, key, name, cluster)
    sock.sendall(CLIENT)
    write_message(sock, first)
    ciphers = state.read_message(read_message(sock), bytearray())
    write_message(sock, ciphers[0].encrypt_with_ad(b"", DATA))
    return ciphers


class Stream:
    """The frames of stream 1, and those inside of it."""

    def __init__(self, sock, ciphers):
        self.sock, (self.seal, self.open) = sock, ciphers
        self.outer = self.inner = b""

    def record(self, data):
        return self.seal.encrypt_with_ad(b"", data + DATA)

    def send(self, data):
        write_message(self.sock, self.record(data))

    def send_inner(self, kind, payload):
        self.send(frame(GATE_DATA, struct.pack("<I", 1) + frame(kind, payload)))

    @staticmethod
    def split(data):
        if len(data) < 8 or len(data) < 8 + struct.unpack_from("<I", data)[0]:
            return None, None, data
        end = 8 + struct.unpack_from("<I", data)[0]
        return data[4], data[8:end], data[end:]

    def next_outer(self):
        while True:
            kind, payload, self.outer = self.split(self.outer)
            if kind is not None:
                return kind, payload
            data = self.open.decrypt_with_ad(b"", read_message(self.sock))
            if data[-1:] != DATA:
                raise Refused("the gate has closed the link")
            self.outer += data[:-1]

    def next_inner(self):
        while True:
            kind, payload, self.inner = self.split(self.inner)
            if kind is not None:
                return kind, payload
            kind, payload = self.next_outer()
            if kind == GATE_CLOSE:
                raise Refused("the gate has closed the stream: %d" % payload[4])
            if kind == GATE_DATA:
                self.inner += payload[4:]

    def expect(self, wanted):
        kind, payload = self.next_inner()
        if kind != wanted:
            raise Refused("frame %d: %r" % (kind, payload))
        return payload


def open_frame(number=1, version=2, uid=0):
    return frame(GATE_OPEN, struct.pack("<IHIH", number, version, uid, 0))


def hello(session=0):
    return struct.pack("<IHHQQQH", 0x31716D72, 2, 2, 0, session, 0, 0)


def batch(line):
    body = line + b"\n"
    return struct.pack("<HHH", 1, 0, len(body)) + body


def send(number, queue, line):
    head = struct.pack("<QQBI", number, 0, 0, 0)
    return head + string(queue) + b"\0\0" + batch(line)


def read_secret(path):
    with open(path, encoding="ascii") as lines:
        words = [line.split()[1] for line in lines if line.startswith("secret ")]
    return base64.b64decode(words[0])


def parse_address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    address, secret = parse_address(sys.argv[1]), read_secret(sys.argv[2])
    queue, line = sys.argv[3].encode(), sys.argv[4].encode()
    key, name, cluster = who(address)
    with socket.create_connection(address) as sock:
        stream = Stream(sock, shake_hands(sock, secret, key, name, cluster))
        stream.send(open_frame())
        stream.send_inner(WIRE_HELLO, hello())
        stream.expect(WIRE_WELCOME)
        stream.send_inner(WIRE_SEND, send(1, queue, line))
        print(struct.unpack_from("<QQ", stream.expect(WIRE_SENT))[1])


if __name__ == "__main__":
    main()
