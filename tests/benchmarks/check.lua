-- Driven by load.py: sends one kind of request with wrk, checks every answer, prints one line of figures.
--
-- Arguments after the address: method, bytes of body to send, check, expected bytes, expected body, file of tokens
-- or nothing, body to send or nothing.
-- Checks:  body     status 200 and exactly this body (Lua compares strings by address, so this costs nothing)
--          received status 200 and a body that says that so many bytes have arrived at the service
--          total    leaves status to wrk and lengths to load.py (a body of 1 MiB is too dear to look at here)

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   local body_bytes, check, expected, expected_body = tonumber(args[2]), args[3], tonumber(args[4]), args[5]
   wrong = 0
   wrk.method = args[1]
   if body_bytes > 0 then
      wrk.body = string.rep("x", body_bytes)
   elseif args[7] ~= "" then
      wrk.body = args[7]
   end
   if args[6] ~= "" then
      -- Every request is made now, so that this costs nothing later; each thread begins elsewhere.
      local requests = {}
      for token in io.lines(args[6]) do
         wrk.headers["Authorization"] = "Bearer " .. token
         table.insert(requests, wrk.format())
      end
      local turn = 0
      request = function()
         turn = turn % #requests + 1
         return requests[turn]
      end
   end
   if check == "body" then
      response = function(status, _, body)
         if status ~= 200 or body ~= expected_body then wrong = wrong + 1 end
      end
   elseif check == "received" then
      response = function(status, _, body)
         local announced, received = string.match(body, "^(%d*)/(%d+)\n$")
         local exact = announced == args[4] or announced == ""
         if status ~= 200 or not exact or tonumber(received) < expected then wrong = wrong + 1 end
      end
   end
end

function done(summary, latency, _)
   local wrong_total = 0
   for _, thread in ipairs(threads) do
      wrong_total = wrong_total + thread:get("wrong")
   end
   local errors = summary.errors
   io.write(string.format(
      'FIGURES {"requests": %d, "bytes": %d, "duration_us": %d, "wrong": %d, "status": %d, "socket": %d, "timeout": %d, '
         .. '"p50_us": %d, "p99_us": %d, "max_us": %d}\n',
      summary.requests, summary.bytes, summary.duration, wrong_total, errors.status,
      errors.connect + errors.read + errors.write, errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
