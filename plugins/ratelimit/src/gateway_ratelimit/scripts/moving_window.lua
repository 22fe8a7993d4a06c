-- gateway_ratelimit/algorithms/moving_window.py. ARGV[2]: the limit, ARGV[3]: the window, ARGV[4]: a step, in ticks.
local limit, window, step = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local newest = math.ceil(now / step) * step
local log, used, is_corrected = {}, 0, false
local stored = redis.call('GET', key)
if stored then
    -- Pairs: a time, oldest first, and what was taken then.
    local entries = cmsgpack.unpack(stored)
    for i = 1, #entries, 2 do
        if entries[i] + window > now then
            log[#log + 1] = entries[i]
            log[#log + 1] = entries[i + 1]
            used = used + entries[i + 1]
        end
    end
    if #log > 0 and log[#log - 1] > newest then
        log, is_corrected = {newest, used}, true
    end
end

if cost < 0 then
    local back = -cost
    while back > 0 and #log > 0 do
        local part = math.min(back, log[#log])
        back = back - part
        log[#log] = log[#log] - part
        if log[#log] == 0 then
            log[#log] = nil
            log[#log] = nil
        end
    end
    if #log > 0 then
        keep(cmsgpack.pack(log), log[#log - 1] + window)
    else
        redis.call('DEL', key)
    end
    return {1, limit, 0, 0}
end
if used + cost > limit then
    if is_corrected then
        keep(cmsgpack.pack(log), newest + window)
    end
    local wanted, i = used + cost, 1
    repeat
        wanted = wanted - log[i + 1]
        i = i + 2
    until wanted <= limit
    return {0, math.max(0, limit - used), log[#log - 1] + window - now, log[i - 2] + window - now}
end
if log[#log - 1] == newest then
    log[#log] = log[#log] + cost
else
    log[#log + 1] = newest
    log[#log + 1] = cost
end
keep(cmsgpack.pack(log), newest + window)
return {1, limit - used - cost, newest + window - now, 0}
