#!/bin/bash
# node: workers (shared memory, Atomics.wait, one that is terminated while it spins, one that overflows its stack), the pool of
# threads (crypto, zlib, files, names), child processes, a server, signals; the end by SIGTERM while workers run.
# Where it is installed: too large for the list of packages.
. "$(dirname "$0")/common.sh"
need node node
cat >"$T/child.js" <<'JS'
process.on('message', m => process.send(m.x * 2)); process.on('disconnect', () => process.exit(6));
JS
cat >"$T/p.js" <<'JS'
const { Worker, isMainThread, workerData, parentPort, MessageChannel, receiveMessageOnPort } = require('worker_threads');
const crypto = require('crypto'), cp = require('child_process'), http = require('http'), fs = require('fs'), zlib = require('zlib'), dns = require('dns'), util = require('util'), os = require('os'), net = require('net');
if (!isMainThread) {
  if (workerData.spin) { while (true) { } }
  if (workerData.stack) { (function f() { f(); })(); }
  if (workerData.sab) {
    const a = new Int32Array(workerData.sab);
    for (let i = 0; i < 1000; i++) Atomics.add(a, 0, 1);
    Atomics.wait(a, 1, 0); Atomics.add(a, 2, 1);
    if (Atomics.add(a, 3, 1) == 3) {} ;
  }
  let s = 0; for (let i = 0; i < 3e6; i++) s = (s + i * workerData.n) % 1000003;
  parentPort.postMessage(s);
  parentPort.on('message', m => { if (m === 'end') process.exit(workerData.n); parentPort.postMessage(m * 2); });
  return;
}
const w = (d, opt) => new Worker(__filename, { workerData: d, ...opt });
const once = (e, n) => new Promise((r, j) => { e.once(n, r); if (n != 'error') e.once('error', j); });
(async () => {
  const r = await Promise.all([...Array(6).keys()].map(async n => { const k = w({ n }); const a = await once(k, 'message'); k.postMessage(21); const b = await once(k, 'message'); k.postMessage('end'); return [a, b, await once(k, 'exit')]; }));
  console.log(JSON.stringify(r));
  const sab = new SharedArrayBuffer(16), a = new Int32Array(sab);
  const ks = [...Array(4).keys()].map(n => w({ n, sab })); await new Promise(r => setTimeout(r, 300));
  Atomics.store(a, 1, 1); for (;;) { Atomics.notify(a, 1); if (Atomics.load(a, 2) == 4) break; await new Promise(r => setTimeout(r, 5)); }
  await Promise.all(ks.map(k => k.terminate())); console.log(a.join());
  const sp = w({ spin: 1 }); await new Promise(r => setTimeout(r, 100)); await sp.terminate(); console.log("terminated");
  try { const k = w({ stack: 1 }); await once(k, 'message'); } catch (e) { console.log(e.name, e.message); }
  try { const k = w({ n: 1 }, { resourceLimits: { maxOldGenerationSizeMb: 16 } }); await once(k, 'message'); k.terminate(); console.log('limits'); } catch (e) { console.log(e.code); }
  const pb = util.promisify(crypto.pbkdf2);
  console.log((await Promise.all([...Array(12).keys()].map(i => pb('p' + i, 's', 20000, 8, 'sha256')))).map(b => b.toString('hex')).join());
  console.log((await Promise.all([...Array(4).keys()].map(i => util.promisify(crypto.scrypt)('p' + i, 's', 8)))).map(b => b.toString('hex')).join());
  const big = Buffer.alloc(1 << 20, 'abcdef'); const gz = await Promise.all([...Array(6)].map(() => util.promisify(zlib.gzip)(big)));
  console.log((await Promise.all(gz.map(g => util.promisify(zlib.gunzip)(g)))).every(b => b.equals(big)));
  console.log(typeof (await dns.promises.lookup('localhost')).address);
  console.log((await Promise.all([...Array(20)].map(() => fs.promises.readFile('/etc/passwd')))).every(x => x.length > 10));
  const kp = await util.promisify(crypto.generateKeyPair)('rsa', { modulusLength: 2048 }); console.log(kp.publicKey.type);
  const ex = util.promisify(cp.exec);
  console.log((await Promise.all([...Array(10).keys()].map(i => ex('echo ' + i + '; cat /dev/null')))).map(x => x.stdout.trim()).join());
  console.log(cp.spawnSync('sh', ['-c', 'cat; exit 3'], { input: 'hello' }).status, cp.execFileSync('echo', ['sync']).toString().trim());
  const c = cp.spawn('sleep', ['50']); setTimeout(() => c.kill('SIGTERM'), 50); console.log(await new Promise(r => c.on('exit', (a, b) => r([a, b]))));
  try { cp.execSync('sleep 50', { timeout: 50 }); } catch (e) { console.log(e.code, e.signal); }
  const f = cp.fork(__dirname + '/child.js'); f.send({ x: 4 }); console.log(await once(f, 'message')); f.disconnect(); console.log(await once(f, 'exit'));
  const srv = http.createServer((q, s) => { s.end(q.url.repeat(100)); }); srv.listen(0, '127.0.0.1'); await once(srv, 'listening');
  const get = p => new Promise((r, j) => http.get({ port: srv.address().port, host: '127.0.0.1', path: p }, m => { let n = 0; m.on('data', d => n += d.length); m.on('end', () => r(n)); }).on('error', j));
  console.log((await Promise.all([...Array(100).keys()].map(i => get('/' + i)))).reduce((x, y) => x + y));
  srv.close();
  const us = net.createServer(s => s.pipe(s)); const path = process.cwd() + "/s"; us.listen(path); await once(us, 'listening');
  const cl = net.connect(path); cl.write('unix'); console.log((await once(cl, 'data')).toString()); cl.end(); us.close();
  let got = []; for (const s of ['SIGUSR2', 'SIGHUP', 'SIGWINCH']) process.on(s, x => got.push(x));
  for (const s of ['SIGUSR2', 'SIGHUP', 'SIGWINCH']) { process.kill(process.pid, s); await new Promise(r => setTimeout(r, 30)); } console.log(got.join());
  process.on('exit', c => console.log('exit', c));
  const wfs = fs.watch(os.tmpdir()); wfs.close();
  w({ n: 1 }); w({ spin: 1 });
  await new Promise(r => setTimeout(r, 100));
  process.kill(process.pid, 'SIGTERM'); setTimeout(() => { }, 5000);
})();
JS
both "$node" "$T/p.js"
[ "$native_status" = 143 ] || fail "natively status $native_status"
grep -q SIGWINCH "$T/grt.out" || fail "it did not reach its end"
