// Publishes every 100 ms: node publish.cjs GRAPE NAME PORT
const Link = require('grenache-nodejs-link')
const { PeerPub } = require('grenache-nodejs-ws')

const [grape, name, port] = process.argv.slice(2)
const link = new Link({ grape })
link.start()
const peer = new PeerPub(link, {})
peer.init()
const service = peer.transport('server')
service.listen(Number(port))
link.announce(name, Number(port), {}, () => {
  console.log('publisher ready')
  let count = 0
  setInterval(() => service.pub(`from node ${count++}`), 100)
})
