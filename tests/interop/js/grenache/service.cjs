// A service that echoes: node service.cjs http|ws GRAPE NAME PORT
const Link = require('grenache-nodejs-link')

const [kind, grape, name, port] = process.argv.slice(2)
const { PeerRPCServer } = require(`grenache-nodejs-${kind}`)
const link = new Link({ grape })
link.start()
const peer = new PeerRPCServer(link, { timeout: 30000 })
peer.init()
const service = peer.transport('server')
service.listen(Number(port))
service.on('request', (rid, key, payload, handler) => {
  if (payload && payload.fail) handler.reply(new Error('ERR_ON_PURPOSE'))
  else handler.reply(null, { from: 'node', payload })
})
link.announce(name, Number(port), {}, (error, stored) => {
  console.log(error ? `failed ${error.message}` : `service ready ${stored}`)
})
