// A js-libp2p node that announces itself by mDNS.  It prints `ready ADDRESS`, and `found ADDRESS` for each it discovers.
import { createLibp2p } from 'libp2p'
import { mdns } from '@libp2p/mdns'
import { tcp } from '@libp2p/tcp'

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  peerDiscovery: [mdns({ interval: 1000 })]
})
node.addEventListener('peer:discovery', event => {
  for (const address of event.detail.multiaddrs) console.log(`found ${address}/p2p/${event.detail.id}`)
})
console.log(`ready ${node.getMultiaddrs()[0]}`)
