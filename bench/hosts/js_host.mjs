// One side of bench/host.py: js-libp2p. Arguments as those of shoal_host.py, without the loop.
import { createLibp2p } from 'libp2p'
import { tcp } from '@libp2p/tcp'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'

const [what, address, count] = process.argv.slice(2)
const SINK = '/bench/sink/1.0.0'
const ECHO = '/bench/echo/1.0.0'
const MANY = 1e6

const makeNode = (listen = []) => createLibp2p({
  addresses: { listen },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() },
  connectionManager: { inboundConnectionThreshold: MANY, maxConnections: MANY, maxIncomingPendingConnections: MANY },
  connectionMonitor: { enabled: false }
})

const ended = () => new Promise(resolve => { process.stdin.on('end', resolve); process.stdin.resume() })

async function write (stream, data) {
  if (!stream.send(data)) await new Promise(resolve => stream.addEventListener('drain', resolve, { once: true }))
}

async function serve () {
  const node = await makeNode(['/ip4/127.0.0.1/tcp/0'])
  const many = { maxInboundStreams: MANY, maxOutboundStreams: MANY }
  await node.handle(SINK, async stream => {
    let size = 0
    for await (const data of stream) size += data.byteLength
    const answer = new DataView(new ArrayBuffer(8))
    answer.setBigUint64(0, BigInt(size))
    await write(stream, new Uint8Array(answer.buffer))
    await stream.close()
  }, many)
  await node.handle(ECHO, async stream => {
    for await (const data of stream) await write(stream, data)
    await stream.close()
  }, many)
  console.log('ready', node.getMultiaddrs()[0].toString())
  await ended()
  process.exit(0)
}

async function receive (stream, size) {
  return new Promise(resolve => {
    let left = size
    const take = event => {
      left -= event.data.byteLength
      if (left <= 0) { stream.removeEventListener('message', take); resolve() }
    }
    stream.addEventListener('message', take)
  })
}

const open = (node, protocol) => node.dialProtocol(multiaddr(address), protocol, { maxOutboundStreams: MANY })
const now = () => performance.now()

async function bulk (node) {
  const stream = await open(node, SINK)
  const piece = new Uint8Array(64 * 1024)
  const start = now()
  const answer = receive(stream, 8)
  for (let i = 0; i < count * 16; i++) await write(stream, piece)
  await stream.close()
  await answer
  return [count / (now() - start) * 1000]
}

async function trips (node) {
  const stream = await open(node, ECHO)
  const word = new Uint8Array(32)
  const times = []
  for (let i = 0; i < count; i++) {
    const start = now()
    const answer = receive(stream, 32)
    await write(stream, word)
    await answer
    times.push((now() - start) * 1000)
  }
  return times
}

async function connectOnce (node) {
  const identified = new Promise(resolve => node.addEventListener('peer:identify', resolve, { once: true }))
  const connection = await node.dial(multiaddr(address))
  await identified
  return connection
}

async function connect (node) {
  const times = []
  for (let i = 0; i < count; i++) {
    const start = now()
    const connection = await connectOnce(node)
    times.push(now() - start)
    await connection.close()
  }
  return times
}

async function cycles (node) {
  const start = now()
  await connect(node)
  return [count / (now() - start) * 1000]
}

async function streams (node) {
  const word = new Uint8Array(32)
  await connectOnce(node)
  const start = now()
  for (let i = 0; i < count; i++) {
    const stream = await open(node, ECHO)
    const answer = receive(stream, 32)
    await write(stream, word)
    await answer
    await stream.close()
  }
  return [count / (now() - start) * 1000]
}

async function idle () {
  for (let i = 0; i < count; i++) await connectOnce(await makeNode())
  console.log('connected')
  await ended()
  return []
}

if (what === 'serve') await serve()
const node = await makeNode()
const figures = await { bulk, trips, connect, cycles, streams, idle }[what](node)
console.log(JSON.stringify(figures.map(each => Number(each.toFixed(4))))) // a pipe takes 64 KiB before we exit
process.exit(0)
