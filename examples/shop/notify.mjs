console.log(`${process.argv[2]} failed, nothing was deployed`);
