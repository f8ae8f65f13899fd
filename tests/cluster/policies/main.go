// Enforces NetworkPolicies on one node of the test cluster: kube-router's controller for them, and nothing else of kube-router.
//
//	policies KUBECONFIG NODE SERVICES
//
// kube-router's own program brings a BGP router and a load balancer, which take minutes to build. sigs.k8s.io/kube-network-policies needs
// nftables' `queue` (CONFIG_NFT_QUEUE), which small kernels lack; this controller needs iptables and ipset.
package main

import (
	"os"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	if len(os.Args) != 4 {
		klog.Fatal("usage: policies KUBECONFIG NODE SERVICES")
	}
	access, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	check(err)
	client, err := kubernetes.NewForConfig(access)
	check(err)

	config := options.NewKubeRouterConfig()
	config.HostnameOverride = os.Args[2]
	config.ClusterIPCIDRs = []string{os.Args[3]}
	config.IPTablesSyncPeriod = 30 * time.Second // beside a sync for each change
	config.EnableIPv4 = true

	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	tables, sets, err := netpol.NewIPTablesHandlers(config)
	check(err)
	controller, err := netpol.NewNetworkPolicyController(client, config, pods, policies, namespaces, &sync.Mutex{}, tables, sets)
	check(err)
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: controller.PodEventHandler, namespaces: controller.NamespaceEventHandler, policies: controller.NetworkPolicyEventHandler,
	} {
		_, err := informer.AddEventHandler(handler)
		check(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	beats := make(chan *healthcheck.ControllerHeartbeat, 10)
	go func() {
		for range beats { // the controller stops if they are not read
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	controller.Run(beats, stop, &running)
}

func check(err error) {
	if err != nil {
		klog.Fatal(err)
	}
}
