// node.js N: what node takes from malloc: Buffers outside of its heap, zlib's and OpenSSL's memory, its pool of threads.
const crypto = require('crypto'), zlib = require('zlib'), util = require('util');
const n = Number(process.argv[2]), h = crypto.createHash('sha256');
(async () => {
  let kept = [];
  for (let i = 0; i < n * 20000; i++) {
    const b = Buffer.allocUnsafeSlow(1 + (i * 7919) % (i % 50 ? 9000 : 300000)).fill(i % 256);
    if (i % 3 === 0) kept[(i * 31) % 500] = b;
    if (i % 100 === 0) h.update(b);
  }
  for (const b of kept) if (b) h.update(b.subarray(0, 10));
  for (let i = 0; i < n * 10; i++) h.update(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(300000, 'text' + i))));
  const gz = util.promisify(zlib.gzip), un = util.promisify(zlib.gunzip);
  for (let i = 0; i < n; i++) {
    const packed = await Promise.all([...Array(12).keys()].map(k => gz(Buffer.alloc(200000, 'part' + k + i))));
    for (const b of await Promise.all(packed.map(p => un(p)))) h.update(b);
  }
  let big = Buffer.alloc(0);
  for (let i = 0; i < n * 60; i++) big = Buffer.concat([big, Buffer.alloc(20000, i)]);
  console.log(h.update(big).digest('hex'), kept.filter(x => x).length);
})();
