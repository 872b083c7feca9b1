// A bittorrent-dht node that does what lines of JSON on its stdin say, and answers with such lines.
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Client } from 'bittorrent-dht'

const PRIVATE = Buffer.from('302e020100300506032b657004220420', 'hex') // PKCS #8 before a raw Ed25519 seed
const PUBLIC = Buffer.from('302a300506032b6570032100', 'hex') // SPKI before a raw public key
const publicKey = raw => createPublicKey({ key: Buffer.concat([PUBLIC, raw]), format: 'der', type: 'spki' })
const check = (signature, value, key) => verify(null, value, publicKey(Buffer.from(key)), signature)
const say = message => console.log(JSON.stringify(message))
const text = value => Buffer.from(value).toString()

const router = process.argv[2]
const dht = new Client({ bootstrap: router ? [router] : false, verify: check })
dht.on('error', error => say({ error: String(error) }))
dht.on('peer', (peer, infoHash) => say({ peer: `${peer.host}:${peer.port}`, hash: Buffer.from(infoHash).toString('hex') }))

const verbs = {
  announce: ({ hash, port }) => dht.announce(hash, port, error => say({ announced: !error, why: String(error) })),
  lookup: ({ hash }) => dht.lookup(hash, (error, nodes) => say({ looked: !error, nodes })),
  put: ({ value }) => dht.put({ v: Buffer.from(value) }, (error, key) => say({ put: error ? null : Buffer.from(key).toString('hex'), why: String(error) })),
  sign: ({ seed, value, sequence, salt }) => {
    const secret = createPrivateKey({ key: Buffer.concat([PRIVATE, Buffer.from(seed, 'hex')]), format: 'der', type: 'pkcs8' })
    const k = createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(PUBLIC.length)
    const item = { k, seq: sequence, v: Buffer.from(value), sign: bytes => sign(null, bytes, secret) }
    if (salt) item.salt = Buffer.from(salt)
    dht.put(item, (error, key) => say({ put: error ? null : Buffer.from(key).toString('hex'), why: String(error) }))
  },
  get: ({ key, salt }) => dht.get(key, salt ? { salt: Buffer.from(salt) } : {}, (error, found) => say({ got: found ? text(found.v) : null, sequence: found?.seq, why: String(error) })),
  nodes: () => say({ nodes: dht.toJSON().nodes.length })
}

createInterface({ input: process.stdin }).on('line', line => {
  const command = JSON.parse(line)
  verbs[command.verb](command)
})
dht.listen(0, '127.0.0.1', () => say({ port: dht.address().port }))
