// One side of bench/kad.py: js-libp2p. NODES and ROUNDS as arguments.
import { createLibp2p } from 'libp2p'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'

const [count, rounds] = process.argv.slice(2).map(Number)
const MANY = 1e6
const nodes = []
for (let i = 0; i < count; i++) {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: MANY, maxConnections: MANY, maxIncomingPendingConnections: MANY },
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({ protocol: '/ipfs/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper, allowQueryWithZeroPeers: true })
    }
  })
  await node.services.dht.setMode('server')
  nodes.push(node)
}
for (let i = 0; i < count; i++) {  // everybody meets everybody
  for (let j = 0; j < i; j++) await nodes[i].dial(nodes[j].getMultiaddrs())
}
await new Promise(resolve => setTimeout(resolve, 3000))

const times = { put: [], get: [] }
for (let i = 0; i < rounds; i++) {
  const key = await generateKeyPair('Ed25519')
  const place = new Uint8Array([...new TextEncoder().encode('/pk/'), ...peerIdFromPrivateKey(key).toMultihash().bytes])
  const value = publicKeyToProtobuf(key.publicKey)
  let started = performance.now()
  for await (const _ of nodes[i % count].services.dht.put(place, value)) { /* until all have taken it */ }
  times.put.push(performance.now() - started)
  started = performance.now()
  let found = false
  for await (const event of nodes[(i + count / 2) % count].services.dht.get(place)) {
    if (event.name === 'VALUE') found = true
  }
  times.get.push(performance.now() - started)
  if (!found) throw new Error('not found')
}
console.log(JSON.stringify(times))
process.exit(0)
