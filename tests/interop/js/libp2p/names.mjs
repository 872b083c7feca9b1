// What js-libp2p's packages offer to the tests: one line of JSON.
import { createLibp2p } from 'libp2p'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { kadDHT } from '@libp2p/kad-dht'
import { mplex } from '@libp2p/mplex'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'

const parts = { createLibp2p, identify, kadDHT, mplex, noise, ping, tcp, tls, webSockets, yamux }
console.log(JSON.stringify({ node: process.versions.node, functions: Object.keys(parts) }))
