#!/usr/bin/python3
"""usage: attacks.py HOST:PORT KEYFILE OTHERKEYFILE NODEKEYFILE

Attacks a gate, which knows KEYFILE as a client that may send to queues "mine*", and OTHERKEYFILE as one
that may send to "other".  Prints a line for each attack that fails as it must, and ends with 1 at the
first one that does not."""
import os
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
import stranger as rmq  # noqa: E402

ADDRESS = rmq.parse_address(sys.argv[1])
SECRET, OTHER, NODE = (rmq.read_secret(path) for path in sys.argv[2:5])
PLACES = 128  # of known addresses, for who has not said who he is
MARKER = b"the-marker-of-a-secret-line"
WIRE_FAILED, WIRE_ERROR = 69, 84
ATTACKS = []
sources = iter("127.0.2.%d" % i for i in range(1, 255))


def attack(function):
    """True: it fails as it must."""
    ATTACKS.append(function)
    return function


def connect(source=None):
    """Each from an address of its own: how many come from one is another test."""
    return socket.create_connection(
        ADDRESS, timeout=10, source_address=(source or next(sources), 0)
    )


KEY, NAME, CLUSTER = rmq.who(ADDRESS, timeout=10, source_address=(next(sources), 0))


def give(sock, data):
    """Writes what the gate need not take: it may have ended the connection already, which a write is
    told of as well as a read."""
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def give_message(sock, data):
    give(sock, rmq.message(data))


def is_silent(sock):
    """The gate ends the connection without a word."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def ends(sock):
    """The gate ends the connection, whatever it has said before."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def first(secret=SECRET, **change):
    how = {"key": KEY, "name": NAME, "cluster": CLUSTER, **change}
    return rmq.first_message(secret, **how)[1]


def opened(role=rmq.CLIENT, message=None):
    sock = connect()
    give(sock, role)
    give_message(sock, first() if message is None else message)
    return sock


def stream(secret=SECRET, session=0):
    """A link with a stream that has said HELLO."""
    sock = connect()
    s = rmq.Stream(sock, rmq.shake_hands(sock, secret, KEY, NAME, CLUSTER))
    s.send(rmq.open_frame())
    s.send_inner(rmq.WIRE_HELLO, rmq.hello(session))
    return s


def welcomed(secret=SECRET):
    s = stream(secret)
    session = struct.unpack_from("<HQQ", s.expect(rmq.WIRE_WELCOME))[2]
    return s, session


# ---- before anybody has shown who he is ----


def plain_bytes(data):
    sock = connect()
    give(sock, data)
    return is_silent(sock)


@attack
def a_greeting_of_http():
    return plain_bytes(b"GET / HTTP/1.1\r\nHost: rmq\r\n\r\n")


@attack
def a_greeting_of_tls():
    return plain_bytes(bytes.fromhex("16030100c8010000c40303") + bytes(200))


@attack
def a_first_message_of_another_length():
    return plain_bytes(rmq.CLIENT + struct.pack("<H", 95) + bytes(95))


@attack
def a_role_that_is_none():
    return is_silent(opened(role=b"\x09"))


@attack
def the_role_of_a_node():
    return is_silent(opened(role=b"\x01"))


@attack
def the_role_of_a_gate():
    return is_silent(opened(b"\x04", first(role=b"\x04")))


@attack
def another_role_than_was_signed():
    return is_silent(opened(message=first(role=b"\x04")))


@attack
def another_cluster():
    return is_silent(opened(message=first(cluster=b"0123456789abcdef")))


@attack
def another_node():
    return is_silent(opened(message=first(name=b"somebody")))


@attack
def an_old_version():
    return is_silent(opened(message=first(version=0)))


@attack
def a_key_that_nobody_knows():
    return is_silent(opened(message=first(secret=os.urandom(32))))


@attack
def the_key_of_the_node_itself():
    return is_silent(opened(message=first(secret=NODE)))


@attack
def a_point_of_low_order():
    return is_silent(opened(message=bytes(32) + first()[32:]))


@attack
def a_flipped_bit_in_the_first_message():
    message = bytearray(first())
    message[40] ^= 1
    return is_silent(opened(message=bytes(message)))


# ---- of a link ----


def captured():
    """What a client has sent for its first line, and the answer's number."""
    sent = []

    class Tap:
        def __init__(self, sock):
            self.sock = sock

        def sendall(self, data):
            sent.append(data)
            self.sock.sendall(data)

        def recv(self, size):
            return self.sock.recv(size)

    sock = Tap(connect())
    s = rmq.Stream(sock, rmq.shake_hands(sock, SECRET, KEY, NAME, CLUSTER))
    s.send(rmq.open_frame())
    s.send_inner(rmq.WIRE_HELLO, rmq.hello())
    s.expect(rmq.WIRE_WELCOME)
    s.send_inner(rmq.WIRE_SEND, rmq.send(1, b"mine.captured", MARKER))
    s.expect(rmq.WIRE_SENT)
    return b"".join(sent)


@attack
def a_marker_on_the_wire():
    return MARKER not in captured()


@attack
def a_replayed_session():
    sock = connect()
    give(sock, captured())
    return ends(sock)


def bad_record(change):
    """Two lines are sent, one record of which somebody changes on its way."""
    s, _ = welcomed()
    records = [
        s.record(
            rmq.frame(
                rmq.GATE_DATA,
                struct.pack("<I", 1)
                + rmq.frame(rmq.WIRE_SEND, rmq.send(n, b"mine.changed", MARKER)),
            )
        )
        for n in (1, 2)
    ]
    for record in change(records):
        give_message(s.sock, record)
    return ends(s.sock)


@attack
def a_flipped_bit():
    def flip(records):
        record = bytearray(records[0])
        record[20] ^= 0x10
        return [bytes(record)]

    return bad_record(flip)


@attack
def records_in_another_order():
    return bad_record(lambda records: [records[1]])


@attack
def a_record_that_is_cut():
    return bad_record(lambda records: [records[0][:-1]])


@attack
def plain_text_after_the_handshake():
    return bad_record(lambda records: [b"GET / HTTP/1.1\r\n\r\n        "])


@attack
def an_oversized_record():
    return bad_record(lambda records: [os.urandom(65535)])


def bad_frame(data):
    s, _ = welcomed()
    give_message(s.sock, s.record(data))
    return ends(s.sock)


@attack
def an_oversized_frame():
    return bad_frame(struct.pack("<IBBH", 1 << 30, rmq.GATE_DATA, 0, 0))


@attack
def an_unknown_frame():
    return bad_frame(rmq.frame(99, b""))


@attack
def contacts_from_a_client():
    return bad_frame(rmq.frame(rmq.GATE_CONTACTS, b"\0\0"))


@attack
def a_stream_twice():
    return bad_frame(rmq.open_frame(1))


@attack
def bytes_without_credit():
    piece = rmq.frame(rmq.GATE_DATA, struct.pack("<I", 1) + bytes(60000))
    return bad_frame(piece)


@attack
def credit_beyond_all_windows():
    return bad_frame(rmq.frame(rmq.GATE_CREDIT, struct.pack("<II", 1, 0xFFFFFFFF)))


@attack
def the_head_of_a_frame_that_no_credit_is_there_for():
    head = struct.pack("<IBBHI", 100000, rmq.GATE_DATA, 0, 0, 1)
    return bad_frame(head)


# ---- of places ----


def let_in(source, secret=SECRET):
    sock = connect(source)
    s = rmq.Stream(sock, rmq.shake_hands(sock, secret, KEY, NAME, CLUSTER))
    s.send(rmq.open_frame())
    s.send_inner(rmq.WIRE_HELLO, rmq.hello())
    s.expect(rmq.WIRE_WELCOME)
    return s


def come(source):
    """A connection that says nothing, None: the gate has refused it before it was there."""
    try:
        return connect(source)
    except ConnectionResetError:
        return None


def wait_for_refused(sockets, count):
    """Until the gate has refused so many, which shows that all places are taken."""
    count -= sockets.count(None)
    waiting = [sock for sock in sockets if sock]
    deadline = time.monotonic() + 20
    while count > 0:
        ended = select.select(waiting, [], [], max(0, deadline - time.monotonic()))[0]
        if not ended:
            raise TimeoutError("there are places for all")
        waiting = [sock for sock in waiting if sock not in ended]
        count -= len(ended)


@attack
def all_places_of_known_addresses_held_in_silence():
    hostile = "127.0.3.1", "127.0.3.2"
    links = [let_in(source) for source in (*hostile, "127.0.3.3")]
    silent = [come(source) for source in hostile for _ in range(70)]
    wait_for_refused(silent, 140 - PLACES)
    links += [let_in("127.0.3.3", OTHER) for _ in range(20)]
    return len(links) == 23


# ---- of what a client may do ----


def answer_to(queue, uid=0):
    sock = connect()
    s = rmq.Stream(sock, rmq.shake_hands(sock, SECRET, KEY, NAME, CLUSTER))
    s.send(rmq.open_frame(uid=uid))
    s.send_inner(rmq.WIRE_HELLO, rmq.hello())
    s.expect(rmq.WIRE_WELCOME)
    s.send_inner(rmq.WIRE_SEND, rmq.send(1, queue, MARKER))
    return s.next_inner()


@attack
def a_queue_outside_that_exists_or_not():
    s, _ = welcomed(OTHER)
    s.send_inner(rmq.WIRE_SEND, rmq.send(1, b"other", b"x"))
    s.expect(rmq.WIRE_SENT)
    there, gone = answer_to(b"other"), answer_to(b"nowhr")
    same = there[1].replace(b"other", b"nowhr") == gone[1]
    return there[0] == gone[0] == WIRE_FAILED and same


@attack
def the_user_of_the_daemon():
    return answer_to(b"other", uid=os.geteuid())[0] == WIRE_FAILED


@attack
def a_session_of_somebody_else():
    _, session = welcomed(OTHER)
    return stream(session=session).next_inner()[0] == WIRE_ERROR


for attack in ATTACKS:
    name = attack.__name__.replace("_", " ")
    try:
        fails = attack()
    except Exception:
        print("attacks: what has gone wrong is: " + name, file=sys.stderr)
        raise
    if not fails:
        sys.exit("attacks: the gate takes " + name)
    print(name)
