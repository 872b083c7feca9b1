// A service that echoes: node service.cjs http|ws GRAPE NAME PORT; KEY, CERT and CA name files for TLS
const fs = require('fs')
const Link = require('grenache-nodejs-link')

const [kind, grape, name, port] = process.argv.slice(2)
const { PeerRPCServer } = require(`grenache-nodejs-${kind}`)
const link = new Link({ grape })
link.start()
const read = name => fs.readFileSync(process.env[name])
const secure = process.env.KEY && {
  key: read('KEY'),
  cert: read('CERT'),
  ca: read('CA'),
  requestCert: true,
  rejectUnauthorized: true,
  verifyClient: (info, cb) => cb(info.req.socket.getPeerCertificate().subject.CN !== 'refused')
}
const peer = new PeerRPCServer(link, { timeout: 30000, secure })
peer.init()
const service = peer.transport('server')
service.listen(Number(port))
service.on('request', (rid, key, payload, handler, cert) => {
  if (payload && payload.fail) handler.reply(new Error('ERR_ON_PURPOSE'))
  else if (secure) handler.reply(null, [payload, cert.fingerprint, cert.fingerprint256])
  else handler.reply(null, { from: 'node', payload })
})
link.announce(name, Number(port), {}, (error, stored) => {
  console.log(error ? `failed ${error.message}` : `service ready ${stored}`)
})
