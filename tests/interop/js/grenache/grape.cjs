// A Grape: node grape.cjs DHT_PORT API_PORT [BOOTSTRAP,...]
const { Grape } = require('grenache-grape')

const [dht, api, bootstrap] = process.argv.slice(2)
const grape = new Grape({
  host: '127.0.0.1',
  dht_port: Number(dht),
  dht_bootstrap: bootstrap ? bootstrap.split(',') : [],
  api_port: Number(api),
  check_maxPayloadSize: 8192
})
grape.start(error => {
  if (error) throw error
  console.log('grape ready')
})
