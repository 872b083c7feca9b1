// A js-libp2p node that serves and dials as the tests ask: SECURITY MUXER TRANSPORT as arguments.
// It prints `ready ADDRESS`; each line of JSON on stdin is a command, answered by `done {...}`.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { createLibp2p } from 'libp2p'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'

const [security, muxer, transport] = process.argv.slice(2)
const MANY = 100000
const many = { maxInboundStreams: MANY, maxOutboundStreams: MANY }
const node = await createLibp2p({
  addresses: { listen: [transport === 'ws' ? '/ip4/127.0.0.1/tcp/0/ws' : '/ip4/127.0.0.1/tcp/0'] },
  transports: [transport === 'ws' ? webSockets() : tcp()],
  connectionEncrypters: [{ noise, tls }[security]()],
  streamMuxers: [{ yamux, mplex }[muxer]()],
  services: { identify: identify(), ping: ping() },
  connectionManager: { inboundConnectionThreshold: MANY }
})

async function write (stream, data) {
  if (!stream.send(data)) await new Promise(resolve => stream.addEventListener('drain', resolve, { once: true }))
}
const sleep = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds))
const bytes = data => data.subarray()

// What we serve: each is written so that a dead stream ends it and not the process.
const serve = (protocol, handler) => node.handle(protocol, async stream => {
  try { await handler(stream) } catch (error) { console.log('ended', protocol, error.message) }
}, many)
await serve('/test/echo', async stream => {
  for await (const data of stream) await write(stream, bytes(data))
  await stream.close()
})
await serve('/test/hash', async stream => {  // says its digest only after our half-close
  const hash = createHash('sha256')
  for await (const data of stream) hash.update(bytes(data))
  await write(stream, hash.digest())
  await stream.close()
})
await serve('/test/reset', async stream => {
  for await (const _ of stream) { stream.abort(new Error('as asked')); return }
})
await serve('/test/slow', async stream => {  // reads nothing until 20 seconds have gone
  stream.pause()
  await sleep(20)
  stream.resume()
  const hash = createHash('sha256')
  for await (const data of stream) hash.update(bytes(data))
  await write(stream, hash.digest())
  await stream.close()
})

// What we do when told.
const piece = new Uint8Array(65536).map((_, index) => index % 251)
const open = (address, protocol) => node.dialProtocol(multiaddr(address), protocol, { maxOutboundStreams: MANY })
async function echo ({ address, pieces }) {
  const stream = await open(address, '/test/echo')
  const sent = createHash('sha256')
  const heard = createHash('sha256')
  const reading = (async () => { for await (const data of stream) heard.update(bytes(data)) })()
  for (let i = 0; i < pieces; i++) { sent.update(piece); await write(stream, piece) }
  await stream.close()
  await reading
  return { equal: sent.digest('hex') === heard.digest('hex') }
}
async function pings ({ address }) { return { trip: await node.services.ping.ping(multiaddr(address)) } }
async function known ({ address }) {
  const connection = await node.dial(multiaddr(address))
  for (let i = 0; i < 100; i++) {
    const peer = await node.peerStore.get(connection.remotePeer)
    const agent = peer.metadata.get('AgentVersion')
    if (agent != null) return { agent: new TextDecoder().decode(agent), protocols: peer.protocols }
    await sleep(0.05)
  }
  return {}
}
async function streams ({ address, count }) {
  const all = await Promise.all(Array.from({ length: count }, async () => {
    const stream = await open(address, '/test/echo')
    let size = 0
    const reading = (async () => { for await (const data of stream) size += data.byteLength })()
    await write(stream, piece.subarray(0, 100))
    await stream.close()
    await reading
    return size
  }))
  return { answered: all.filter(size => size === 100).length }
}
async function killed ({ address }) {
  const stream = await open(address, '/test/reset')
  try { // the reset may come while we write still
    await write(stream, piece)
    for await (const _ of stream) { /* nothing comes */ }
  } catch (error) { return { error: error.name } }
  return { error: stream.status === 'reset' ? 'reset' : '' }
}

console.log('ready', node.getMultiaddrs()[0].toString())
let count = 0
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const number = count++
  try {
    console.log(`done ${number}`, JSON.stringify(await { echo, pings, known, streams, killed }[command.do](command)))
  } catch (error) {
    console.log(`done ${number}`, JSON.stringify({ failed: `${error.name}: ${error.message}` }))
  }
}
