#!/bin/bash
# ruby: threads under one lock with a timer thread, conds with CLOCK_MONOTONIC, ractors, processes, fibers.
# PACKAGES: ruby
. "$(dirname "$0")/common.sh"
need ruby ruby
cat >"$T/p.rb" <<'RB'
require 'timeout'
require 'socket'
$stdout.sync = true

q = Queue.new
m = Mutex.new
sum = 0
ts = 8.times.map { Thread.new { while (i = q.pop) != :end; x = (1..i).sum; m.synchronize { sum += x }; end } }
500.times { |i| q << i % 50 }
8.times { q << :end }
ts.each(&:join)
puts "sum #{sum}"

sq = SizedQueue.new(2)
prod = Thread.new { 200.times { |i| sq << i }; sq.close }
got = []
while (v = sq.pop); got << v; end
prod.join
puts "sized #{got.size} #{got == (0...200).to_a}"

cv = ConditionVariable.new
turn = 0
3.times.map { |me| Thread.new { 50.times { m.synchronize { cv.wait(m) until turn % 3 == me; turn += 1; cv.broadcast } } } }.each(&:join)
puts "turns #{turn}"
begin
  Timeout.timeout(0.1) { sleep 10 }
rescue Timeout::Error
  puts "timeout"
end
stop = false
spin = Thread.new { n = 0; n += 1 until stop; n }
ticks = 0
Thread.new { 10.times { sleep 0.005; ticks += 1 } }.join
stop = true
puts "spin #{spin.value > 0} #{ticks}"
t = Thread.new { Thread.current.report_on_exception = false; raise "in a thread" }
begin; t.join; rescue => e; puts e.message; end
t = Thread.new { sleep }
sleep 0.05
t.kill.join
puts "killed #{t.alive?}"
tl = 4.times.map { |i| Thread.new { Thread.current[:x] = i; Thread.pass; Thread.current[:x] } }.map(&:value)
puts "local #{tl}"

srv = TCPServer.new('127.0.0.1', 0)
port = srv.addr[1]
Thread.new { loop { c = srv.accept; Thread.new { while (l = c.gets); c.puts l.upcase; end; c.close } } }
r = 10.times.map { |i| Thread.new { s = TCPSocket.new('127.0.0.1', port); 10.times.map { |k| s.puts "x#{i}#{k}"; s.gets.chomp }.last } }.map(&:value)
puts r.sort.inspect
puts 6.times.map { |i| Thread.new { `echo out#{i}; exit #{i}`.chomp + $?.exitstatus.to_s } }.map(&:value).inspect
pid = fork { exit!(Thread.new { 5 }.value) }
puts "fork #{Process.wait2(pid)[1].exitstatus}"
IO.popen('cat', 'r+') { |io| io.puts 'popen'; io.close_write; puts io.read }
a = []
trap('USR1') { a << 1 }
Process.kill('USR1', Process.pid)
sleep 0.05
puts "trap #{a.size}"
rd, wr = IO.pipe
reader = Thread.new { rd.gets }
sleep 0.02
wr.puts 'line'
puts reader.value
f = Fiber.new { Thread.pass; Fiber.yield 1; 2 }
puts "fiber #{f.resume} #{f.resume}"
$VERBOSE = nil
puts "ractor #{4.times.map { |i| Ractor.new(i) { |n| (1..1000).sum * n } }.map(&:take).inspect}"
at_exit { puts 'at_exit' }
Thread.new { sleep }
exit 4
RB
both "$ruby" "$T/p.rb"
[ "$native_status" = 4 ] || fail "natively status $native_status"
grep -q '^at_exit$' "$T/grt.out" || fail "it did not reach its end"
# Fibers have stacks of their own: in threads that are preempted, that block, fork, overflow them.
cat >"$T/fibers.rb" <<'RB'
def fib_work(n)
  fs = 20.times.map { |k| Fiber.new { 50.times { |i| Fiber.yield(rec(20) * k + i) }; :done } }
  s = 0
  until fs.empty?
    fs.reject! { |f| v = f.resume; v == :done ? true : (s += v; false) }
  end
  s + n
end
def rec(d) = d == 0 ? 1 : 1 + rec(d - 1)
p 8.times.map { |n| Thread.new { 5.times.sum { fib_work(n) } } }.map(&:value)
# Enumerator external next = fiber
p 6.times.map { |n| Thread.new { e = (1..300).each; s = 0; begin; loop { s += e.next }; end; s } }.map(&:value)
# blocking in a fiber in a thread
p 6.times.map { |n| Thread.new { Fiber.new { sleep 0.01; q = Queue.new; Thread.new { q << n }; q.pop }.resume } }.map(&:value)
# fork in a fiber in a thread
p 3.times.map { |n| Thread.new { Fiber.new { pid = fork { Thread.new { 1 }.value; exit! n + 3 }; Process.wait2(pid)[1].exitstatus }.resume } }.map(&:value)
# exceptions
p 4.times.map { |n| Thread.new { f = Fiber.new { begin; Fiber.yield; rescue => e; e.message; end }; f.resume; f.raise(RuntimeError, "m#{n}") } }.map(&:value)
# deep stack
p Thread.new { Fiber.new { def dd(n) = dd(n + 1); begin; dd(0); rescue SystemStackError => e; e.class; end }.resume }.value
p Thread.new { def dd2(n) = dd2(n + 1); begin; dd2(0); rescue SystemStackError => e; e.class; end }.value
p((def dd3(n) = dd3(n + 1); begin; dd3(0); rescue SystemStackError => e; e.class; end))
# gc in fibers
p 4.times.map { Thread.new { Fiber.new { 3.times { GC.start; 1000.times.map { |i| "x" * i } }; 7 }.resume } }.map(&:value)
RB
both "$ruby" "$T/fibers.rb"
ok fibers
