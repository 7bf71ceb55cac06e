"""docker build as docker-py does it: build.py [-t NAME] [--FLAG VALUE]... PATH"""
import sys

import docker

options = {"rm": True, "buildargs": {}, "labels": {}, "extra_hosts": {}}
args = sys.argv[1:]
while len(args) > 1:
    if args[0] in ("--no-cache", "--pull", "-q"):
        options[{"--no-cache": "nocache", "--pull": "pull", "-q": "quiet"}[args[0]]] = True
        args = args[1:]
        continue
    flag, value, args = args[0], args[1], args[2:]
    key, _, rest = value.partition("=")
    if flag in ("-t", "--tag"):
        options["tag"] = value
    elif flag == "--build-arg":
        options["buildargs"][key] = rest
    elif flag == "--label":
        options["labels"][key] = rest
    elif flag == "--target":
        options["target"] = value
    elif flag == "--add-host":
        host, _, ip = value.partition(":")
        options["extra_hosts"][host] = ip
    elif flag == "-f":
        options["dockerfile"] = value
    elif flag == "--platform":
        options["platform"] = value
    elif flag == "--network":
        options["network_mode"] = value
    elif flag == "--shm-size":
        options["shmsize"] = value
    elif flag == "--memory":
        options["container_limits"] = {"memory": int(value)}
    elif flag == "--cache-from":
        options["cache_from"] = [value]
    else:
        sys.exit("build.py does not know " + flag)
try:
    image, log = docker.from_env().images.build(path=args[0], **options)
except docker.errors.BuildError as e:
    for line in e.build_log:
        sys.stderr.write(line.get("stream", ""))
    sys.exit(str(e))
except docker.errors.APIError as e:
    sys.exit(e.explanation)
for line in log:
    sys.stdout.write(line.get("stream", ""))
