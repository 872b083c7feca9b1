// Calls a service: node caller.cjs http|ws GRAPE NAME PAYLOAD [gzip]; KEY, CERT and CA name files for TLS
const fs = require('fs')
const Link = require('grenache-nodejs-link')

const [kind, grape, name, payload, compress] = process.argv.slice(2)
const { PeerRPCClient } = require(`grenache-nodejs-${kind}`)
const link = new Link({ grape })
link.start()
const read = name => fs.readFileSync(process.env[name])
const secure = process.env.KEY && { key: read('KEY'), cert: read('CERT'), ca: read('CA') }
const peer = new PeerRPCClient(link, { secure })
peer.init()
peer.request(name, JSON.parse(payload), { timeout: 10000, compress: compress === 'gzip' }, (error, result) => {
  console.log('answer ' + JSON.stringify(error ? { error: error.message } : { result }))
  process.exit(0)
})
