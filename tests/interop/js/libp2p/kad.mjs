// A js-libp2p node with a DHT server that does what the tests ask.
// It prints `ready ADDRESS`; each line of JSON on stdin is a command, answered by `done N {...}`.
import { createInterface } from 'node:readline'
import { createLibp2p } from 'libp2p'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

const MANY = 100000
const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: MANY },
  services: {
    identify: identify(),
    push: identifyPush(),
    ping: ping(),
    dht: kadDHT({
      protocol: '/ipfs/kad/1.0.0',
      clientMode: false,
      peerInfoMapper: passthroughMapper,
      allowQueryWithZeroPeers: true
    })
  }
})
await node.services.dht.setMode('server')
const dht = node.services.dht
const hex = text => Uint8Array.from(Buffer.from(text, 'hex'))
const cid = text => CID.createV1(0x55, Digest.decode(hex(text)))

async function dial ({ address }) {
  const connection = await node.dial(multiaddr(address))
  for (let i = 0; i < 200; i++) {  // until identify has told that it serves the DHT
    const peer = await node.peerStore.get(connection.remotePeer)
    if (peer.protocols.includes('/ipfs/kad/1.0.0')) return { served: true }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return { served: false }
}
async function find ({ peer }) {
  for await (const event of dht.findPeer(peerIdFromString(peer))) {
    if (event.name === 'FINAL_PEER') return { addresses: event.peer.multiaddrs.map(String) }
  }
  return { addresses: [] }
}
async function provide ({ key }) {
  for await (const _ of dht.provide(cid(key))) { /* until it has told everybody */ }
  return {}
}
async function providers ({ key }) {
  const found = {}
  for await (const event of dht.findProviders(cid(key))) {
    for (const one of event.providers ?? []) found[one.id.toString()] = one.multiaddrs.map(String)
  }
  return { found }
}
async function put ({ key, value }) {
  const events = []
  for await (const event of dht.put(hex(key), hex(value))) events.push(event.name)
  return { events }
}
async function get ({ key }) {
  for await (const event of dht.get(hex(key))) {
    if (event.name === 'VALUE') return { value: Buffer.from(event.value).toString('hex') }
  }
  return {}
}
async function mode ({ mode }) { await dht.setMode(mode); return { mode: dht.getMode() } }

console.log('ready', node.getMultiaddrs()[0].toString())
let count = 0
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const number = count++
  try {
    const known = { dial, find, provide, providers, put, get, mode }
    console.log(`done ${number}`, JSON.stringify(await known[command.do](command)))
  } catch (error) {
    console.log(`done ${number}`, JSON.stringify({ failed: `${error.name}: ${error.message}` }))
  }
}
