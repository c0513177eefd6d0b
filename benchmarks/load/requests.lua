-- Requests for wrk: `post PATH RUN PAYLOAD UNIQUE` sends the payload with an id that is new each time; `get FILE HEADER…`
-- goes round the paths in the file, one a line. Prints what came of it as one line of JSON.

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(arguments)
   sent = 0
   if arguments[1] == "post" then
      local path, run, payload, unique = arguments[2], tonumber(arguments[3]), arguments[4], arguments[5]
      wrk.headers["Content-Type"] = "application/json"
      local whole = wrk.format("POST", path, nil, payload)
      local from, to = whole:find(unique, 1, true)
      local before, after = whole:sub(1, from - 1), whole:sub(to + 1)
      next_request = function(number)
         return before .. string.format("%08x-0000-4000-8000-%012x", run, number) .. after
      end
   else
      for index = 3, #arguments do
         local name, value = arguments[index]:match("^(.-): (.*)$")
         wrk.headers[name] = value
      end
      local requests = {}
      for path in io.lines(arguments[2]) do
         table.insert(requests, wrk.format("GET", path))
      end
      next_request = function(number)
         return requests[number % #requests + 1]
      end
   end
end

function request()
   sent = sent + 1
   return next_request(sent)
end

function done(summary, latency)
   local all = 0
   for _, thread in ipairs(threads) do
      all = all + thread:get("sent")
   end
   local errors = summary.errors
   io.write(string.format(
      '\nLOAD {"sent": %d, "accepted": %d, "refused": %d, "broken": %d, "seconds": %.6f, ' ..
      '"p50": %.3f, "p95": %.3f, "p99": %.3f, "most": %.3f}\n',
      all, summary.requests - errors.status, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
