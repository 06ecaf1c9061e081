-- 2 KiB posted by every request of wrk.
wrk.method = "POST"
wrk.path = "/echo"
wrk.body = string.rep("x", 2048)
wrk.headers["Content-Type"] = "application/octet-stream"
