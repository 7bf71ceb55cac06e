"""job.py fill | work | report: fills a queue of numbers, squares them, waits for the sum."""
import signal
import sys
import time

import redis

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
queue = redis.Redis("queue")
role = sys.argv[1]
if role == "fill":
    queue.rpush("numbers", *range(1, 101))
elif role == "work":
    while True:
        _, n = queue.blpop("numbers")
        with queue.pipeline() as p:
            p.incrby("sum", int(n) ** 2).incr("done").execute()
else:
    while int(queue.get("done") or 0) < 100:
        time.sleep(0.1)
    print("sum", int(queue.get("sum")))
