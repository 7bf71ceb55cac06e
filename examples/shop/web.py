"""Counts visits: each in the database, the sum in the cache."""
import http.server
import os

import psycopg2
import redis

with open(os.environ["PASSWORD_FILE"]) as f:
    db = psycopg2.connect(host="db", user="postgres", password=f.read().rstrip("\n"))
db.autocommit = True
cache = redis.Redis("cache")
with db.cursor() as c:
    c.execute("create table if not exists visits (path text)")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health":
            with db.cursor() as c:
                c.execute("insert into visits values (%s)", (self.path,))
                c.execute("select count(*) from visits")
                cache.set("visits", c.fetchone()[0])
        body = b"visits: " + (cache.get("visits") or b"0") + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("", 8000), Handler).serve_forever()
