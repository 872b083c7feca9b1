// Calls a service: node caller.cjs http|ws GRAPE NAME PAYLOAD [gzip]
const Link = require('grenache-nodejs-link')

const [kind, grape, name, payload, compress] = process.argv.slice(2)
const { PeerRPCClient } = require(`grenache-nodejs-${kind}`)
const link = new Link({ grape })
link.start()
const peer = new PeerRPCClient(link, {})
peer.init()
peer.request(name, JSON.parse(payload), { timeout: 10000, compress: compress || 'none' }, (error, result) => {
  console.log('answer ' + JSON.stringify(error ? { error: error.message } : { result }))
  process.exit(0)
})
